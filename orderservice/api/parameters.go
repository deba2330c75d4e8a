package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// The headers of requests, as the document has them. They are read in conditions.go, off the request: huma does not tell a
// header that is empty or given twice from one that is not there. It adds to an operation's parameters: each gets a copy.
var (
	ifNoneMatchHeader = header("If-None-Match", "Answer 304 without a body if the order is still at this ETag.", `"3"`, "")

	commandHeaders = []*huma.Param{
		header("Idempotency-Key", "What you call this one request: the same key and request has one effect and one answer. A UUID is a good one.", "", keyPattern),
		header("Correlation-Id", "Goes into the events' headers; the request's id if it is absent.", "lunch-42", ""),
		header("Traceparent", "W3C Trace Context; goes into the events' headers.", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""),
		header("If-Match", "Do it only if the order is still at this ETag; else 412.", `"3"`, ""),
	}
)

func header(name, description, example, pattern string) *huma.Param {
	p := &huma.Param{Name: name, In: "header", Description: description, Schema: &huma.Schema{Type: huma.TypeString, Pattern: pattern}}
	if example != "" {
		p.Example = example
	}
	return p
}

// The status codes of errors. Each operation has 422 and 500 too.
var (
	commandErrors = []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusServiceUnavailable,
	}
	queryErrors = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusServiceUnavailable}
)

// placed is the answer to a new order: its links name the operations that go on with it.
func placed() map[string]*huma.Response {
	links := make(map[string]*huma.Link)
	for _, operation := range []string{"get-order", "get-order-events", "pay", "cancel"} {
		links[operation] = &huma.Link{OperationID: operation, Parameters: map[string]any{"id": "$response.body#/id"}}
	}
	return map[string]*huma.Response{"201": {Description: "The order was placed, now or by an earlier request with the same key.", Links: links}}
}

func notModified() map[string]*huma.Response {
	return map[string]*huma.Response{"304": {Description: "The order is still at the ETag of If-None-Match."}}
}
