package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// attempts is how often Execute tries, the first time included. Pause is what it waits at most before the second attempt,
// and twice as long before each further one: 1.3 s in all on average.
const (
	attempts = 8
	pause    = 20 * time.Millisecond
)

// Execute loads the order, decides what the command does to it, and appends that. When somebody else was faster or the
// connection was lost, it begins again with a fresh decision, a bounded number of times.
//
// It returns an *order.RuleError, or an error that wraps one of this package's. With any error but ErrOutcomeUnknown the
// command has had no effect and will have none. A command that breaks a rule leaves no key behind: given again, it is
// decided again.
//
// The events of one command have one time, and each command's time is later than that of the one before it in the same
// order, also if the clock went back.
func (l *Log) Execute(ctx context.Context, cmd Command) (Result, error) {
	x := execution{log: l, cmd: cmd, now: time.Now().UTC().Truncate(time.Microsecond), known: known(cmd)}
	var last error
	for n := range attempts {
		if err := wait(ctx, n); err != nil {
			last = errors.Join(err, last)
			break
		}
		result, err := x.try(ctx)
		if err == nil {
			l.tell(ctx, result)
			return result, nil
		}
		last = err
		if !passing(err) {
			break
		}
	}
	return Result{}, fmt.Errorf("%s %s: %w", cmd.Do.Name(), cmd.Order, x.verdict(last))
}

// execution is one command on its way through its attempts.
type execution struct {
	log *Log
	cmd Command

	// now is the same in each attempt. So an attempt decides otherwise than the one before it only if the order has
	// moved on, and then the one before it can no longer commit.
	now time.Time

	// known lets the first attempt go without reading. It is a guess, which may lead to an effect but never to a refusal:
	// if the order has moved on or the key was used, the transaction fails on the row's version or on the key, and if the
	// guess breaks a rule, the log is read.
	known *order.Order

	// unsettled has the last event of each attempt whose outcome is not known. Such an attempt may still commit, until
	// the order has moved on; that the event is in the log tells that it has.
	unsettled []uuid.UUID
}

// try makes one attempt.
func (x *execution) try(ctx context.Context) (Result, error) {
	if before := x.known; before != nil {
		x.known = nil
		result, err := x.do(ctx, *before)
		if _, refused := errors.AsType[*order.RuleError](err); !refused {
			return result, err
		}
	}
	past, err := x.log.read(ctx, x.cmd)
	if err != nil {
		return Result{}, err
	}
	// Before the key: what an attempt of this very call has done is no replay.
	if version, found := x.committed(past.history); found {
		return resultAt(past.history, version)
	}
	if past.key != nil {
		return x.replay(ctx, *past.key)
	}
	if len(past.history) == 0 && !placing(x.cmd) {
		return Result{}, ErrNotFound
	}
	before, err := fold(past.history)
	if err != nil {
		return Result{}, err
	}
	if v := x.cmd.Expected; v != nil && *v != before.Version {
		return Result{}, definite{fmt.Errorf("%w: version %d, not %d", ErrNotExpected, before.Version, *v)}
	}
	return x.do(ctx, before)
}

// do decides what the command does to the order, and appends it.
func (x *execution) do(ctx context.Context, before order.Order) (Result, error) {
	after, events, err := decide(x.cmd, before, x.now)
	if err != nil {
		return Result{}, err
	}
	if err := x.log.Append(ctx, after, before.Version, events, x.cmd.Key); err != nil {
		if errors.Is(err, ErrOutcomeUnknown) {
			x.unsettled = append(x.unsettled, events[len(events)-1].ID)
		}
		return Result{}, err
	}
	return Result{ID: x.cmd.Order, Order: after, Events: events}, nil
}

// known returns what can be assumed of the order before reading it, or nil: of a new one, that there is nothing yet.
func known(cmd Command) *order.Order {
	if placing(cmd) {
		return &order.Order{}
	}
	if cmd.Known != nil && cmd.Expected != nil && *cmd.Expected != cmd.Known.Version {
		return nil
	}
	return cmd.Known
}

func placing(cmd Command) bool {
	_, is := cmd.Do.(order.Place)
	return is
}

// committed looks for the effect of an earlier attempt, and returns the order's version after it.
func (x *execution) committed(history []outbox.Entry) (version int64, found bool) {
	for _, e := range history {
		if slices.Contains(x.unsettled, e.ID) {
			return e.Version, true
		}
	}
	return 0, false
}

// verdict is the error that tells the caller how it ended. An attempt that is unsettled stays so unless a later one has
// seen that the order moved on without it, which is what the errors of a decision say; one that met a lock or a broken
// connection has seen nothing.
func (x *execution) verdict(last error) error {
	broken, rule := errors.AsType[*order.RuleError](last)
	// That there is no such customer is not said by the order: an erasure may have come after the attempt.
	rule = rule && broken.Rule != order.RuleCustomer
	_, moved := errors.AsType[definite](last)
	settled := rule || moved || errors.Is(last, ErrKeyReused)
	if len(x.unsettled) == 0 || settled || errors.Is(last, ErrOutcomeUnknown) {
		return last
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, last)
}

// decide makes the command's events, which have one time, later than that of any event before them.
func decide(cmd Command, o order.Order, now time.Time) (order.Order, []event.Event, error) {
	at := now
	if !at.After(o.UpdatedAt) {
		at = o.UpdatedAt.Add(time.Microsecond)
	}
	decision, err := order.Decide(o, cmd.Do, at)
	if err != nil {
		return order.Order{}, nil, err
	}
	events := make([]event.Event, len(decision))
	for i, data := range decision {
		o = order.Apply(o, o.Version+1, at, data)
		if events[i], err = event.New(cmd.Order, o.Version, at, data); err != nil {
			return order.Order{}, nil, err
		}
		events[i].Headers = cmd.Headers
	}
	return o, events, nil
}

// wait lets other writers finish, or a database come back, before the n-th attempt.
func wait(ctx context.Context, n int) error {
	if n == 0 {
		return context.Cause(ctx)
	}
	return ops.Sleep(ctx, rand.N(pause<<(n-1)))
}
