package query

import (
	"context"
	"errors"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

// The kinds of problem. What an order's events do not allow is 409: no other request would help, an operator does.
var (
	malformed        = edge.Lasting("malformed", 400, "Malformed request", "Correct what errors names.")
	notFound         = edge.Lasting("not-found", 404, "Not found", "Check the path and the id. What was ordered a moment ago may not be here yet: give Read-After.")
	methodNotAllowed = edge.Lasting("method-not-allowed", 405, "Method not allowed", "Use a method from the Allow header.")
	orderBlocked     = edge.Lasting("order-blocked", 409, "An event of the order could not be applied", "An operator mends it, then what comes behind it follows: projector letters. Until then Prefer: handling=lenient gets the answer without it.")
	noHistory        = edge.Lasting("no-history", 409, "The order's past is not kept", "It was read before past states were kept. An operator makes the read model anew: projector rebuild.")
	misdirected      = edge.Lasting("misdirected", 421, "Wrong host", "Ask by localhost or by an IP address. A proxy on its machine is to name it so, or to show a token.")
	internal         = edge.Lasting("internal", 500, "Internal error", "Look in the program's log for the request id in instance.")
	busy             = edge.Passing("busy", 503, "Busy", "Wait as Retry-After says, then give the request again.")
	unavailable      = edge.Passing("unavailable", 503, "The database is not available", "Wait, then give the request again.")
	notYet           = edge.Passing("not-yet", 503, "The read model is not there yet", "Wait longer with Prefer: wait=N, at most 30 seconds, or take what is there with Prefer: handling=lenient.")
)

var kinds = []edge.Kind{malformed, notFound, methodNotAllowed, orderBlocked, noHistory, misdirected, internal, busy, unavailable, notYet}

// problem is an error that is told to the caller as it is.
type problem struct {
	kind    edge.Kind
	detail  string
	errors  []violation
	allow   string    // the Allow header of a 405
	asOf    *asOf     // what an answer would have reflected
	missing []missing // of what the request wanted to read after
}

// violation is one rule that a request breaks.
type violation struct {
	In     string `json:"in"` // query or header
	Name   string `json:"name,omitempty"`
	Rule   string `json:"rule"` // for programs
	Detail string `json:"detail"`
}

// Error implements error.
func (p *problem) Error() string { return p.kind.Title + ": " + p.detail }

// errUnavailable is wrapped by errors that only say that the database is not there, or does not answer in time.
var errUnavailable = errors.New("the database is not available")

// problemOf is the one place where an error becomes an answer. What it does not know is internal: the caller gets no
// word of it.
func problemOf(err error) *problem {
	if p, told := errors.AsType[*problem](err); told {
		return p
	}
	if errors.Is(err, errUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return &problem{kind: unavailable, detail: "the readmodel database did not answer in time"}
	}
	return &problem{kind: internal, detail: "the program met an error that is not the request's"}
}

// document is a problem with what this API adds (RFC 9457 section 3.2).
type document struct {
	edge.Document

	Errors  []violation `json:"errors,omitempty"`
	Missing []missing   `json:"missing,omitempty"`
	AsOf    *asOf       `json:"as_of,omitempty"`
}

func (p *problem) document(request string) document {
	return document{Document: p.kind.Document(p.detail, request), Errors: p.errors, Missing: p.missing, AsOf: p.asOf}
}

// refused is a request with a parameter or a header that cannot be understood.
func refused(in, name, rule, detail string) *problem {
	return &problem{kind: malformed, detail: detail, errors: []violation{{In: in, Name: name, Rule: rule, Detail: detail}}}
}
