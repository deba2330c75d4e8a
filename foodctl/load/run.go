package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Config says what load.
type Config struct {
	Profile
	Mix

	// MaxInFlight bounds the requests that are under way. Beyond it arrivals wait, and their latency counts that.
	MaxInFlight int

	// Progress is told how it goes, a line a call; not nil.
	Progress func(string)
}

func (c Config) check() error {
	if c.MaxInFlight < 1 {
		return fmt.Errorf("--max-in-flight %d: give 1 or more", c.MaxInFlight)
	}
	return errors.Join(c.Profile.check(), c.Mix.check())
}

// patience is how long an answer may take. It is longer than the API's own.
const patience = 15 * time.Second

// Run puts the load on the target until the profile has ended or ctx has, which is no error: the report then is of what
// was until there. Requests that are under way are waited for.
func Run(ctx context.Context, c Config, target Target) (Report, error) {
	if err := c.check(); err != nil {
		return Report{}, err
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	menu, err := target.Menu(asking)
	cancel()
	if err != nil {
		return Report{}, err
	}
	drawer, err := c.drawer(menu, target.Flaws())
	if err != nil {
		return Report{}, err
	}
	e := &engine{Config: c, drawer: drawer, target: target, began: time.Now()}
	e.record = newRecord(c.Profile)
	ticking, stop := context.WithCancel(ctx)
	var lines errgroup.Group
	if c.Shape == Soak {
		lines.Go(func() error { e.tell(ticking); return nil })
	}
	e.arrive(ctx)
	stop()
	_ = lines.Wait() // it returns none
	return e.record.report(c, target.Name(), time.Since(e.began), ctx.Err() != nil), nil
}

// engine is a load that is under way.
type engine struct {
	Config

	drawer *drawer
	target Target
	orders orders
	record *record
	began  time.Time
}

// arrive lets the requests begin when they are due, and returns when all have ended.
func (e *engine) arrive(ctx context.Context) {
	var flying errgroup.Group
	flying.SetLimit(e.MaxInFlight)
	// Who ends the load wants its report, and no command cut off in its middle.
	asking := context.WithoutCancel(ctx)
	for due := range e.arrivals() {
		if ops.Sleep(ctx, due-time.Since(e.began)) != nil {
			break
		}
		n := e.record.arrive(due)
		request := func() error { e.request(asking, n, due); return nil }
		if !flying.TryGo(request) {
			e.record.holdBack()
			flying.Go(request) // waits for a place
		}
	}
	_ = ops.Sleep(ctx, e.Duration-time.Since(e.began)) // the last may be due well before; an end by hand is the end
	_ = flying.Wait()                                  // requests return no error, they record it
}

// request makes the n-th request.
func (e *engine) request(ctx context.Context, n uint64, due time.Duration) {
	w := e.drawer.draw(n)
	r, taken := e.fill(w)
	var key uuid.UUID
	if w.twice {
		key = uuid.New()
		r.Key = key.String()
	}
	var a Answer
	sent := time.Since(e.began)
	if w.twice {
		a = e.twice(ctx, r, w.r)
	} else {
		a = e.ask(ctx, r)
	}
	ended := time.Since(e.began)
	e.record.answer(r, e.judge(r, a), due, sent, ended)
	e.settle(r, a, taken)
}

// fill makes a request of what was drawn. What it needs of an order is that there is one; a request that finds none
// places one instead.
func (e *engine) fill(w draw) (r Request, taken *placed) {
	r = Request{Kind: w.kind, Flaw: w.flaw}
	switch w.kind {
	case Read:
		if p, found := e.orders.look(w.r); found {
			r.Order, r.Known = p.id, p.state
			return r, nil
		}
	case Act:
		if p, found := e.orders.take(w.r); found {
			r.Order, r.Known, r.Do = p.id, p.state, next(w.r, p.state)
			if w.flaw == BrokenRule {
				r.Do = forbidden(p.state)
			}
			if r.Do != nil {
				return r, &p
			}
		}
	default:
	}
	if r.Kind = Place; r.Flaw == BrokenRule {
		r.Flaw = NoQuantity
	}
	r.Do = e.drawer.place(w.r)
	return r, nil
}

// ask asks once.
func (e *engine) ask(ctx context.Context, r Request) Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return e.target.Do(ctx, r)
}

// judge looks at what a target cannot know: whether the answer goes with those before it.
func (e *engine) judge(r Request, a Answer) Answer {
	if a.Outcome != Done {
		return a
	}
	wrong := ""
	switch {
	case r.Kind != Place && a.Order != r.Order:
		wrong = fmt.Sprintf("it is about order %s", a.Order)
	case r.Kind == Place && (a.Order == uuid.Nil || a.State.Version != 1):
		wrong = fmt.Sprintf("order %q is at version %d, and was placed just now", a.Order, a.State.Version)
	case r.Kind == Act && a.State.Version <= r.Known.Version:
		wrong = fmt.Sprintf("order %s is at version %d as before", r.Order, a.State.Version)
	case r.Kind == Read && a.State.Version < r.Known.Version:
		wrong = fmt.Sprintf("order %s is at version %d, and an earlier answer had %d", r.Order, a.State.Version, r.Known.Version)
	}
	if wrong != "" {
		a.Outcome, a.Detail = Wrong, wrong
	}
	return a
}

// settle remembers the order as the answer left it. Of one that nobody knows the state of, nothing is remembered.
func (e *engine) settle(r Request, a Answer, taken *placed) {
	switch {
	case r.Kind == Read:
	case a.Outcome == Done:
		e.orders.changed(placed{a.Order, a.State})
	case taken != nil && (a.Outcome == Refused || a.Outcome == Busy && r.Key == ""):
		e.orders.back(*taken)
	}
}

// tell says how it goes, at the end of each interval.
func (e *engine) tell(ctx context.Context) {
	for i := 0; ; i++ {
		if ops.Sleep(ctx, time.Duration(i+1)*e.record.every-time.Since(e.began)) != nil {
			return
		}
		e.Progress(e.record.line(i))
	}
}

// pauseOfTwin is how long a command waits whose twin has not ended.
const pauseOfTwin = 20 * time.Millisecond

// twice gives a command two times under its key, at once or one after the other, and compares the answers. It returns
// that of the first.
func (e *engine) twice(ctx context.Context, r Request, random *rand.Rand) Answer {
	var pair [2]Answer
	atOnce := random.IntN(2) == 0
	var both errgroup.Group
	if !atOnce {
		both.SetLimit(1)
	}
	for i := range pair {
		both.Go(func() error { pair[i] = e.insist(ctx, r); return nil })
	}
	_ = both.Wait() // they return none
	e.record.compare(r, pair, atOnce)
	return pair[0]
}

// insist asks until the command's twin has ended.
func (e *engine) insist(ctx context.Context, r Request) Answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		a := e.target.Do(ctx, r)
		if a.Outcome != InUse || ops.Sleep(ctx, pauseOfTwin) != nil {
			return a
		}
	}
}
