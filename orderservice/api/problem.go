package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// kind is a type of problem. Its name is the last part of its type URI and never changes.
type kind struct {
	name   string
	status int
	title  string
	remedy string // what to do, as GET /problems/{kind} tells it
	retry  bool   // the same request may be given again soon
}

// The kinds of problem. A broken rule is 422 when the request itself is wrong and will stay so, and 409 when it is the
// order's state that does not allow it now.
var (
	malformed        = kind{"malformed", 400, "Malformed request", "Correct what errors points at.", false}
	forbidden        = kind{"forbidden", 403, "Forbidden", "Call the API from its own origin, or from a program.", false}
	notFound         = kind{"not-found", 404, "Not found", "Check the path and the order's id.", false}
	methodNotAllowed = kind{"method-not-allowed", 405, "Method not allowed", "Use a method from the Allow header.", false}
	ruleBroken       = kind{"rule-broken", 409, "The order's state does not allow it", "Read the order. errors has the rule.", false}
	versionConflict  = kind{"version-conflict", 409, "The order has changed", "Read the order, decide again, and send its new ETag as If-Match.", true}
	keyInUse         = kind{"key-in-use", 409, "A request with this key is being worked on", "Wait, then give the same request with the same key.", true}
	tooLarge         = kind{"too-large", 413, "Body too large", "Send at most 65536 bytes.", false}
	mediaType        = kind{"media-type", 415, "Unsupported media type", "Send application/json.", false}
	invalid          = kind{"invalid", 422, "Invalid command", "Correct the fields that errors points at.", false}
	keyReused        = kind{"key-reused", 422, "The key belongs to another request", "Use a new Idempotency-Key for a new request.", false}
	internal         = kind{"internal", 500, "Internal error", "Look in the program's log for the request id in instance.", false}
	busy             = kind{"busy", 503, "Busy", "Wait as Retry-After says, then give the request again.", true}
	unavailable      = kind{"unavailable", 503, "The database is not available", "Nothing was done. Wait, then give the request again.", true}
	outcomeUnknown   = kind{"outcome-unknown", 503, "It is not known whether it was done", "Give the same request with the same Idempotency-Key again. Without a key, read the order first.", true}
)

var kinds = []kind{
	malformed, forbidden, notFound, methodNotAllowed, ruleBroken, versionConflict, keyInUse, tooLarge, mediaType, invalid,
	keyReused, internal, busy, unavailable, outcomeUnknown,
}

// problem is an error that is told to the caller as it is.
type problem struct {
	kind   kind
	detail string
	errors []violation
	allow  string // the Allow header of a 405
}

// violation is one rule that a request breaks.
type violation struct {
	Pointer string `json:"pointer,omitempty"` // JSON pointer (RFC 6901) of the field, as a URI fragment; none for the whole
	Rule    string `json:"rule"`              // the rule's name, for programs
	Detail  string `json:"detail"`
}

// Error implements error.
func (p *problem) Error() string { return p.kind.title + ": " + p.detail }

// problemOf is the one place where an error becomes an answer. What it does not know is internal: the caller gets no
// word of it.
func problemOf(err error) *problem {
	if p, told := errors.AsType[*problem](err); told {
		return p
	}
	if rule, broken := errors.AsType[*order.RuleError](err); broken {
		return ruleProblem(rule)
	}
	switch {
	// First, because it wraps what the last attempt met.
	case errors.Is(err, eventlog.ErrOutcomeUnknown):
		return &problem{kind: outcomeUnknown, detail: "the connection to the database was lost while it was being done"}
	case errors.Is(err, eventlog.ErrNotFound):
		return &problem{kind: notFound, detail: "there is no order of this id"}
	case errors.Is(err, eventlog.ErrKeyReused):
		return &problem{kind: keyReused, detail: "the Idempotency-Key was used for another request"}
	case errors.Is(err, eventlog.ErrKeyInUse):
		return &problem{kind: keyInUse, detail: "a request with the same Idempotency-Key has not ended"}
	case errors.Is(err, eventlog.ErrConflict):
		return &problem{kind: versionConflict, detail: "the order was changed in the meantime, or is not at the version of If-Match"}
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
	v.Pointer = pointer(e.Field)
	return &problem{kind: invalid, detail: e.Field + ": " + e.Detail, errors: []violation{v}}
}

// pointer turns "lines[2].quantity" into "#/lines/2/quantity". Of a price, which no client sends, only the line is left.
func pointer(field string) string {
	field, _, _ = strings.Cut(field, ".unit_price")
	return "#/" + strings.NewReplacer("[", "/", "].", "/", "]", "", ".", "/").Replace(field)
}

// document is a problem as RFC 9457 section 3 has it.
type document struct {
	Type     string      `json:"type"` // resolves to an explanation, see explain
	Title    string      `json:"title"`
	Status   int         `json:"status"`
	Detail   string      `json:"detail"`
	Instance string      `json:"instance"` // the request's id
	Errors   []violation `json:"errors,omitempty"`
}

func (p *problem) document(request string) document {
	return document{
		Type: "/problems/" + p.kind.name, Title: p.kind.title, Status: p.kind.status, Detail: p.detail,
		Instance: "urn:uuid:" + request, Errors: p.errors,
	}
}

// explain serves what a problem's type URI leads to.
func explain(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, k := range kinds {
		if k.name == r.PathValue("kind") {
			fmt.Fprintf(w, "%s (%d)\n\n%s\n", k.title, k.status, k.remedy)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintln(w, "There is no such kind of problem.")
}
