package query

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// standing is how far an order has come.
type standing struct {
	version int64 // 0: nothing of it has been applied
	blocked bool  // it does not go on by itself
}

// A letter holds an order up if it is of a version that the order has not reached: it, or one before it, is missing. One that
// says no version may be anything.
const selectStandings = `
SELECT w.id, coalesce(s.version, 0), EXISTS (
  SELECT
  FROM dead_letters AS d
  WHERE d.order_id = w.id
    AND d.state = 'waiting'
    AND d.version > coalesce(s.version, 0)
)
FROM unnest($1::uuid[]) AS w (id)
LEFT JOIN order_summary AS s ON s.order_id = w.id`

func scanStandings(rows pgx.Rows) (map[uuid.UUID]standing, error) {
	found := make(map[uuid.UUID]standing)
	for rows.Next() {
		var (
			id uuid.UUID
			s  standing
		)
		if err := rows.Scan(&id, &s.version, &s.blocked); err != nil {
			return nil, err
		}
		found[id] = s
	}
	return found, rows.Err()
}

// lacking are the tokens that have not been reached.
func lacking(after []token, found map[uuid.UUID]standing) (all []missing) {
	for _, t := range after {
		if s := found[t.order]; s.version < t.version {
			all = append(all, missing{Order: t.order, Version: t.version, Is: s.version, Blocked: s.blocked})
		}
	}
	return all
}

func orders(after []token) [][16]byte {
	ids := make(map[uuid.UUID]bool, len(after))
	for _, t := range after {
		ids[t.order] = true
	}
	all := make([][16]byte, 0, len(ids))
	for id := range ids {
		all = append(all, id)
	}
	return all
}

// arrivals tells those who wait for a version of an order when it is there. One statement asks for all of them: however many
// wait, the database has one question at a time. (Being told by the database would cost the projector more: NOTIFY takes a
// lock that all committers share.)
type arrivals struct {
	reader reader
	came   chan struct{} // holds an element when somebody new waits
	ended  chan struct{} // closed when run is over

	mu      sync.Mutex // guards waiting
	waiting map[*waiter]struct{}
}

// waiter waits for all of its tokens, or for news that one of them never comes by itself.
type waiter struct {
	after []token
	since time.Time
	over  chan struct{} // closed by who takes it out of waiting
}

func newArrivals(r reader) *arrivals {
	return &arrivals{reader: r, came: make(chan struct{}, 1), ended: make(chan struct{}), waiting: make(map[*waiter]struct{})}
}

// wait waits until the tokens are there or blocked, and returns false if ctx or run ended before. It only says that it is
// worth looking again.
func (a *arrivals) wait(ctx context.Context, after []token) bool {
	w := &waiter{after: after, since: time.Now(), over: make(chan struct{})}
	a.mu.Lock()
	a.waiting[w] = struct{}{}
	a.mu.Unlock()
	select {
	case a.came <- struct{}{}:
	default:
	}
	select {
	case <-w.over:
		return true
	case <-ctx.Done():
	case <-a.ended:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, w)
	return false
}

// Between two looks lies an eighth of the time that the newest of those who wait has waited. So what comes is seen after an
// eighth more than it took, and nobody who waits in vain keeps the database busy.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 200 * time.Millisecond
)

// run looks for as long as somebody waits, until ctx ends. An error is told by who waits: he looks again.
func (a *arrivals) run(ctx context.Context) error {
	defer close(a.ended)
	for ctx.Err() == nil {
		after, newest := a.wanted()
		if len(after) == 0 {
			a.sleep(ctx, nil)
			continue
		}
		pause := min(max(time.Since(newest)/8, shortestPause), longestPause)
		if found, err := a.look(ctx, after); err == nil {
			a.settle(found)
		} else {
			pause = longestPause
		}
		a.sleep(ctx, time.After(pause))
	}
	return nil
}

// sleep lasts until somebody new waits, who has just looked, or until then.
func (a *arrivals) sleep(ctx context.Context, then <-chan time.Time) {
	select {
	case <-ctx.Done():
	case <-then:
	case <-a.came:
		_ = ops.Sleep(ctx, shortestPause) // the loop sees that ctx has ended
	}
}

// wanted are the tokens that are waited for, and since when the newest is.
func (a *arrivals) wanted() (after []token, newest time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for w := range a.waiting {
		after = append(after, w.after...)
		if w.since.After(newest) {
			newest = w.since
		}
	}
	return after, newest
}

func (a *arrivals) look(ctx context.Context, after []token) (found map[uuid.UUID]standing, err error) {
	err = a.reader.consistent(ctx, func(b *pgx.Batch) {
		b.Queue(selectStandings, orders(after)).Query(func(rows pgx.Rows) (err error) {
			found, err = scanStandings(rows)
			return err
		})
	})
	return found, err
}

// settle wakes those whose waiting is over.
func (a *arrivals) settle(found map[uuid.UUID]standing) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.waiting, func(w *waiter, _ struct{}) bool {
		left := lacking(w.after, found)
		over := len(left) == 0 || slices.ContainsFunc(left, func(m missing) bool { return m.Blocked })
		if over {
			close(w.over)
		}
		return over
	})
}
