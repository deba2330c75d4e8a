package edge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// Kind is a type of problem. Its name is the last part of its type URI and never changes.
type Kind struct {
	Name   string
	Status int
	Title  string
	Remedy string // what to do, as GET /problems/{kind} tells it
	Retry  bool   // the same request may be given again soon
}

// Lasting is a kind that the same request meets again.
func Lasting(name string, status int, title, remedy string) Kind {
	return Kind{Name: name, Status: status, Title: title, Remedy: remedy}
}

// Passing is a kind that the same request may not meet again when it is given a second later.
func Passing(name string, status int, title, remedy string) Kind {
	return Kind{Name: name, Status: status, Title: title, Remedy: remedy, Retry: true}
}

// Document is a problem as RFC 9457 section 3 has it, without what an API adds. The tags are for an API's OpenAPI document.
type Document struct {
	Type     string `json:"type" format:"uri-reference" doc:"The kind of problem. The URI resolves to what can be done about it."`
	Title    string `json:"title" doc:"The kind of problem, in words."`
	Status   int    `json:"status" doc:"The status code of the answer."`
	Detail   string `json:"detail" doc:"What is wrong with this request."`
	Instance string `json:"instance" format:"uri" doc:"The request's id, which is in X-Request-Id and in the program's log."`
}

// Document is a problem of the kind, met by a request.
func (k Kind) Document(detail, request string) Document {
	return Document{Type: "/problems/" + k.Name, Title: k.Title, Status: k.Status, Detail: detail, Instance: "urn:uuid:" + request}
}

// Refuse sends a problem of a kind: a Document, or a struct that has one embedded, of strings and numbers.
func Refuse(w http.ResponseWriter, k Kind, document any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // it is read by people, and is never part of a page
	if err := encoder.Encode(document); err != nil {
		panic(fmt.Sprintf("encode a problem: %v", err))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	if k.Retry {
		w.Header().Set("Retry-After", "1")
	}
	Send(w, k.Status, &body)
}

// Explain serves what a problem's type URI leads to, GET /problems/{kind}: an API's own kinds, and those of this package.
func Explain(kinds []Kind) http.HandlerFunc {
	kinds = append(slices.Clone(kinds), Unauthenticated, InsufficientScope)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		for _, k := range kinds {
			if k.Name == r.PathValue("kind") {
				fmt.Fprintf(w, "%s (%d)\n\n%s\n", k.Title, k.Status, k.Remedy)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, "There is no such kind of problem.")
	}
}
