package console

import (
	"context"
	"errors"
	"sync"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
)

// relayWatch remembers what relays have said of themselves.
type relayWatch struct {
	active  string  // who published at the last look; "" for nobody
	last    string  // who published last
	started float64 // when that one's process began

	dropped map[string]float64 // by name: source transactions that processes which are gone had dropped as published already
	newest  map[string]float64 // by name: what the running one says
}

// Metrics of the relay.
const (
	roleMetric    = "relay_role"
	droppedMetric = "relay_recovered_transactions_skipped_total"
	startedMetric = "process_start_time_seconds"
)

var roles = []string{"active", "standby", "paused", "starting"}

// look asks all relays at once. What they have dropped is added up over their lives, as far as it was seen. That one is down is no
// error, that one refuses the console's token is.
func (w *relayWatch) look(ctx context.Context, asker status.Asker, programs []Program) (relays []Relay, dropped int64, err error) {
	if w.newest == nil {
		w.dropped, w.newest = make(map[string]float64), make(map[string]float64)
	}
	relays = make([]Relay, len(programs))
	skipped := make([]float64, len(programs))
	refused := make([]error, len(programs))
	var asking sync.WaitGroup
	for i, p := range programs {
		asking.Go(func() { relays[i], skipped[i], refused[i] = askRelay(ctx, asker, p) })
	}
	asking.Wait()
	total := 0.0
	for i, r := range relays {
		if r.Up && skipped[i] < w.newest[r.Name] { // another process
			w.dropped[r.Name] += w.newest[r.Name]
		}
		if r.Up {
			w.newest[r.Name] = skipped[i]
		}
		total += w.dropped[r.Name] + w.newest[r.Name]
	}
	return relays, int64(total), errors.Join(refused...)
}

// askRelay asks one what it does, and what its process has dropped.
func askRelay(ctx context.Context, asker status.Asker, p Program) (r Relay, skipped float64, refused error) {
	r.Name = p.Name
	if p.PID != nil {
		r.PID = p.PID()
	}
	m, err := asker.Scrape(ctx, p.URL)
	if err != nil {
		if _, is := errors.AsType[auth.Refusal](err); is {
			refused = err
		}
		return r, 0, refused
	}
	for _, role := range roles {
		if m.Is(roleMetric, "role", role) {
			r.Role = role
		}
	}
	r.Up, r.started = true, m.Sum(startedMetric)
	return r, m.Sum(droppedMetric), nil
}
