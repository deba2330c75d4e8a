package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
)

// toll is what all trials of a relay count: what the topic shows, and what the relays say of themselves.
type toll struct {
	AbortedTransactions int64 `json:"aborted_transactions"`
	AbortedRecords      int64 `json:"aborted_records"`
	Reread              int64 `json:"source_transactions_reread"`
}

// rereadMetric counts, in one process of the relay, the source transactions that came again after a restart.
const rereadMetric = "relay_recovered_transactions_skipped_total"

// takeToll counts. What relays that are gone have reread is added to what those that run say.
func (s *session) takeToll(ctx context.Context, rereadBefore float64) (toll, error) {
	aborted, err := broker.CountAborted(ctx, s.Brokers(), s.names.Topic)
	if err != nil {
		return toll{}, err
	}
	return toll{
		AbortedTransactions: aborted.Transactions, AbortedRecords: aborted.Records,
		Reread: int64(rereadBefore + s.relaysSum(ctx, func(m status.Metrics) float64 { return m.Sum(rereadMetric) })),
	}, nil
}

// relaysSum adds up what the relays that answer say.
func (s *session) relaysSum(ctx context.Context, of func(status.Metrics) float64) (sum float64) {
	for _, p := range s.Relays {
		if m, err := status.Scrape(ctx, p.URL); err == nil {
			sum += of(m)
		}
	}
	return sum
}

// String is a few lines.
func (t toll) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d Kafka transactions broken off, with %d records that no read_committed reader saw\n", t.AbortedTransactions, t.AbortedRecords)
	fmt.Fprintf(&b, "%d source transactions read again after a restart, and dropped as already published\n", t.Reread)
	return b.String()
}

// roles is what the relays say at a moment.
type roles struct {
	active    []*stack.Program
	standby   int
	published map[string]float64 // events, by relay, since its process began
}

// publishedMetric counts the events in a relay's committed transactions.
const publishedMetric = "relay_published_events_total"

func (s *session) roles(ctx context.Context) roles {
	r := roles{published: make(map[string]float64)}
	for _, p := range s.Relays {
		m, err := status.Scrape(ctx, p.URL)
		if err != nil {
			continue
		}
		r.published[p.Name()] = m.Sum(publishedMetric)
		if m.Is(roleMetric, "role", "active") {
			r.active = append(r.active, p)
		}
		if m.Is(roleMetric, "role", "standby") {
			r.standby++
		}
	}
	return r
}

// publisher waits until one relay publishes and all others stand by. One that was paused or cut off goes on believing
// that it is the one until it hears better, so a relay's word counts only with an event that it has published since the
// call.
func (s *session) publisher(ctx context.Context) (*stack.Program, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, comeback, fmt.Errorf("%s later it is not so that one relay publishes and the others stand by: "+
		"their logs say why", comeback))
	defer cancel()
	before := s.roles(ctx).published
	for {
		r := s.roles(ctx)
		for _, p := range r.active {
			was, known := before[p.Name()]
			if !known {
				before[p.Name()] = r.published[p.Name()]
			}
			if known && len(r.active) == 1 && r.standby == len(s.Relays)-1 && r.published[p.Name()] > was {
				return p, nil
			}
		}
		if err := s.soon(ctx); err != nil {
			return nil, err
		}
	}
}
