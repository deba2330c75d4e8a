package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// The kinds of problem. A broken rule is 422 when the request itself is wrong and will stay so, and 409 when it is the
// order's state that does not allow it now.
var (
	malformed        = edge.Lasting("malformed", 400, "Malformed request", "Correct what errors points at.")
	forbidden        = edge.Lasting("forbidden", 403, "Forbidden", "Call the API from its own origin, or from a program.")
	notFound         = edge.Lasting("not-found", 404, "Not found", "Check the path and the order's id.")
	methodNotAllowed = edge.Lasting("method-not-allowed", 405, "Method not allowed", "Use a method from the Allow header.")
	ruleBroken       = edge.Lasting("rule-broken", 409, "The order's state does not allow it", "Read the order. errors has the rule.")
	customerLocked   = edge.Passing("customer-locked", 409, "The customer is being worked on", "Wait, then give the request again.")
	versionConflict  = edge.Passing("version-conflict", 409, "The order is being changed", "Wait, read the order, and decide again.")
	keyInUse         = edge.Passing("key-in-use", 409, "A request with this key is being worked on", "Wait, then give the same request with the same key.")
	gone             = edge.Lasting("gone", 410, "Erased", "Nothing is known of this customer any more, and it orders nothing.")
	notExpected      = edge.Lasting("precondition-failed", 412, "The order is at another version", "Read the order, decide again, and send its new ETag as If-Match.")
	tooLarge         = edge.Lasting("too-large", 413, "Body too large", "Send at most 65536 bytes.")
	mediaType        = edge.Lasting("media-type", 415, "Unsupported media type", "Send application/json.")
	invalid          = edge.Lasting("invalid", 422, "Invalid command", "Correct the fields that errors points at.")
	keyReused        = edge.Lasting("key-reused", 422, "The key belongs to another request", "Use a new Idempotency-Key for a new request.")
	misdirected      = edge.Lasting("misdirected", 421, "Wrong host", "Reach the API by localhost or by an IP address. A proxy on its machine is to name it so, or to show a token.")
	internal         = edge.Lasting("internal", 500, "Internal error", "Look in the program's log for the request id in instance.")
	busy             = edge.Passing("busy", 503, "Busy", "Wait as Retry-After says, then give the request again.")
	unavailable      = edge.Passing("unavailable", 503, "The database is not available", "Nothing was done. Wait, then give the request again.")
	outcomeUnknown   = edge.Passing("outcome-unknown", 503, "It is not known whether it was done", "Give the same request with the same Idempotency-Key again. Without a key, read the order first.")
)

var kinds = []edge.Kind{
	malformed, forbidden, notFound, methodNotAllowed, ruleBroken, customerLocked, versionConflict, keyInUse, gone, notExpected, tooLarge, mediaType, invalid,
	keyReused, misdirected, internal, busy, unavailable, outcomeUnknown,
}

// problem is an error that is told to the caller as it is.
type problem struct {
	kind   edge.Kind
	detail string
	errors []violation
	allow  string // the Allow header of a 405
}

// Error implements error.
func (p *problem) Error() string { return p.kind.Title + ": " + p.detail }

// problemOf is the one place where an error becomes an answer. What it does not know is internal: the caller gets no
// word of it.
func problemOf(err error) *problem {
	if p, told := errors.AsType[*problem](err); told {
		return p
	}
	if rule, broken := errors.AsType[*order.RuleError](err); broken {
		return ruleProblem(rule)
	}
	if notYet, is := errors.AsType[*eventlog.NotYetError](err); is {
		return &problem{kind: notFound, detail: notYet.Error()}
	}
	switch {
	// First, because it wraps what the last attempt met.
	case errors.Is(err, eventlog.ErrOutcomeUnknown):
		return &problem{kind: outcomeUnknown, detail: "the connection to the database was lost while it was being done"}
	case errors.Is(err, eventlog.ErrNotFound):
		return &problem{kind: notFound, detail: "there is no order of this id"}
	case errors.Is(err, eventlog.ErrNoCustomer):
		return &problem{kind: notFound, detail: "there is no customer of this id"}
	case errors.Is(err, eventlog.ErrErased):
		return &problem{kind: gone, detail: "the customer was erased"}
	case errors.Is(err, eventlog.ErrCustomerLocked):
		return &problem{kind: customerLocked, detail: "orders of the customer are being placed, or it is being erased"}
	case errors.Is(err, eventlog.ErrKeyReused):
		return &problem{kind: keyReused, detail: "the Idempotency-Key was used for another request"}
	case errors.Is(err, eventlog.ErrKeyInUse):
		return &problem{kind: keyInUse, detail: "a request with the same Idempotency-Key has not ended"}
	case errors.Is(err, eventlog.ErrNotExpected):
		return &problem{kind: notExpected, detail: "the order is not at the version of If-Match"}
	case errors.Is(err, eventlog.ErrConflict):
		return &problem{kind: versionConflict, detail: "the order was changed in the meantime"}
	case errors.Is(err, eventlog.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &problem{kind: unavailable, detail: "the orders database did not answer in time"}
	default:
		return &problem{kind: internal, detail: "the program met an error that is not the request's"}
	}
}

// ruleProblem tells a rule that the request breaks, with a pointer to the field, or that the order's state does.
func ruleProblem(e *order.RuleError) *problem {
	v := violation{Rule: string(e.Rule), Detail: e.Detail}
	if e.Field == "" {
		return &problem{kind: ruleBroken, detail: e.Detail, errors: []violation{v}}
	}
	field, _, _ := strings.Cut(e.Field, ".unit_price") // which no client sends: only the line is left
	v.Pointer = pointer(field)
	return &problem{kind: invalid, detail: e.Field + ": " + e.Detail, errors: []violation{v}}
}

// pointer turns "lines[2].quantity" into "#/lines/2/quantity".
func pointer(field string) string {
	path := url.URL{Fragment: "/" + slashes.Replace(field)}
	return "#" + path.EscapedFragment() // a name that a client has made up may be anything
}

var slashes = strings.NewReplacer("[", "/", "].", "/", "]", "", ".", "/")

// document is a problem with what this API adds (RFC 9457 section 3.2).
type document struct {
	edge.Document

	Errors []violation `json:"errors,omitempty" doc:"What the request breaks."`
}

func (p *problem) document(request string) document {
	return document{Document: p.kind.Document(p.detail, request), Errors: p.errors}
}

// told is what huma is given in the place of an error that the edge tells. Its type is what the OpenAPI document says of
// errors.
type told document

// Error implements error.
func (*told) Error() string { return "told by the edge" }

// GetStatus implements huma.StatusError.
func (*told) GetStatus() int { return http.StatusInternalServerError }

// ContentType implements huma.ContentTypeFilter.
func (*told) ContentType(string) string { return "application/problem+json" }
