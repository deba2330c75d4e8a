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

// Document is a problem as RFC 9457 section 3 has it, without what an API adds.
type Document struct {
	Type     string `json:"type"` // resolves to an explanation, see Explain
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"` // the request's id
}

// Document is a problem of the kind, met by a request.
func (k Kind) Document(detail, request string) Document {
	return Document{Type: "/problems/" + k.Name, Title: k.Title, Status: k.Status, Detail: detail, Instance: "urn:uuid:" + request}
}

// Refuse sends a problem of a kind: a Document, or a struct that has one embedded, of strings and numbers.
func Refuse(w http.ResponseWriter, k Kind, document any) {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(document); err != nil {
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
