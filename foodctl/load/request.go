package load

import (
	"context"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// Kind is what a request does.
type Kind string

// The kinds.
const (
	Place Kind = "place"
	Act   Kind = "act" // on an order that was placed earlier
	Read  Kind = "read"
)

var kinds = []Kind{Place, Act, Read}

// Flaw is what is wrong with a request. Each has an answer that it must get.
type Flaw string

// The flaws. The first four are flaws of a document, which the event log never sees.
const (
	Sound        Flaw = ""
	BrokenJSON   Flaw = "broken JSON"
	WrongType    Flaw = "wrong content type"
	UnknownField Flaw = "unknown field"
	UnknownItem  Flaw = "unknown item"
	NoQuantity   Flaw = "quantity 0"
	BrokenRule   Flaw = "broken rule" // a command that the order's state does not allow
)

// Request is something to ask of a target.
type Request struct {
	Kind Kind
	Flaw Flaw
	Do   order.Command // of Place and Act

	// Of Act and Read: which order, and as it was answered last.
	Order uuid.UUID
	Known order.Order

	// Key is the command's idempotency key; empty for none.
	Key string
}

// Outcome is what came of a request.
type Outcome string

// The outcomes.
const (
	Done     Outcome = "done"
	Refused  Outcome = "refused"   // as a flawed request has to be
	Busy     Outcome = "busy"      // turned away for now: nothing is said about the request
	InUse    Outcome = "in use"    // a command with the same key has not ended
	NoSuch   Outcome = "nobody"    // who was to order was erased, or never was: nothing is wrong with either side
	NoAnswer Outcome = "no answer" // and nobody knows what became of it
	Wrong    Outcome = "wrong"     // an answer that the request must not get
)

// Answer is what a target says.
type Answer struct {
	Outcome Outcome
	Status  string // in the target's own words, few and without detail: what is counted
	Detail  string // of Wrong and NoAnswer, for people

	Order    uuid.UUID
	State    order.Order // of Done; of the API's answer only what a load goes by: version, service, fulfilment, rating
	Replayed bool        // the command's twin did it

	// Content is what the answers to a command and to its twin must have in common.
	Content string
}

// Target is what the load is put on.
type Target interface {
	// Name is its address, without secrets.
	Name() string

	// Menu is what there is to order, and the proof that somebody is there.
	Menu(ctx context.Context) ([]event.Line, error)

	// Flaws are those that it can be shown.
	Flaws() []Flaw

	// Do asks, and returns when the answer is there or ctx has ended. It is called by many at once.
	Do(ctx context.Context, r Request) Answer

	// Close closes its connections.
	Close()
}
