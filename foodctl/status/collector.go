// Package status shows what a running system has done so far: how many events were written, published and applied, and
// how long they took.
//
// It asks each place itself, the outbox table, the topic and the read model, and takes nobody's word for another's part.
// It promises a picture that is right when nothing moves and a moment old when something does. It proves nothing: that is
// the audit's part.
package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/readonly"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
)

// Counts is the state of a system at a moment.
type Counts struct {
	Orders     int64         `json:"orders"`
	Written    int64         `json:"written"`    // events in the outbox
	Published  int64         `json:"published"`  // different events in the topic that a read_committed reader sees
	Applied    int64         `json:"applied"`    // events that the read model reflects
	Pending    int64         `json:"pending"`    // written and not yet applied
	Duplicates int64         `json:"duplicates"` // records that repeat an event, or that the projector ignored as such
	P50        time.Duration `json:"p50_ns"`     // from the order's commit to its event in the read model, of the last seconds
	P99        time.Duration `json:"p99_ns"`
}

// Arrived says whether everything that was written is in the topic and in the read model.
func (c Counts) Arrived() bool { return c.Published == c.Written && c.Applied == c.Written }

// latencyMetric is the projector's histogram of seconds from the order's commit to the read model's.
const latencyMetric = "projector_end_to_end_latency_seconds"

// sessionName is how Postgres knows the sessions.
const sessionName = "foodctl status"

// window is how far back latencies count.
const window = 10 * time.Second

// Config says where to look.
type Config struct {
	OrdersURL    string
	ReadModelURL string
	Brokers      []string
	Security     kafka.Security
	Topic        string
	Asker        Asker      // of the projectors
	Projectors   []string   // URLs of their metrics
	Observers    []Observer // of what is read in the topic
}

// Collector reads Counts. It is not safe for concurrent use.
type Collector struct {
	orders     *pgxpool.Pool
	readModel  *pgxpool.Pool
	tail       *Tail
	asker      Asker
	projectors []string

	written written
	latency []reading
	refused error // what a projector said when it was asked last
}

// reading is the latencies that were counted up to a moment.
type reading struct {
	at time.Time
	h  histogram
}

// Open connects to the databases and the brokers. The caller must call Run, and Close after it.
func Open(ctx context.Context, c Config) (*Collector, error) {
	orders, err := readonly.Pool(ctx, c.OrdersURL, sessionName, 1)
	if err != nil {
		return nil, fmt.Errorf("orders database: %w", err)
	}
	readModel, err := readonly.Pool(ctx, c.ReadModelURL, sessionName, 1)
	if err != nil {
		orders.Close()
		return nil, fmt.Errorf("read model's database: %w", err)
	}
	tail, err := NewTail(c.Brokers, c.Security, c.Topic, c.Observers...)
	if err != nil {
		orders.Close()
		readModel.Close()
		return nil, err
	}
	return &Collector{orders: orders, readModel: readModel, tail: tail, asker: c.Asker, projectors: c.Projectors}, nil
}

// Run reads the topic until ctx is done.
func (c *Collector) Run(ctx context.Context) { c.tail.Run(ctx) }

// Tail is what reads the topic.
func (c *Collector) Tail() *Tail { return c.tail }

// Close ends the connections to the databases.
func (c *Collector) Close() {
	c.orders.Close()
	c.readModel.Close()
}

// Read asks every place. On an error the Counts hold what could be had.
func (c *Collector) Read(ctx context.Context) (Counts, error) {
	var n Counts
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// Backwards along the way, so that an event which moves meanwhile is not counted behind a place that it has yet to reach.
	ignored, errApplied := c.readApplied(ctx, &n)
	var malformed int64
	n.Published, n.Duplicates, malformed = c.tail.Counts()
	n.Duplicates = max(n.Duplicates, ignored)
	_, errTopic := c.tail.Ready()
	errWritten := c.written.read(ctx, c.orders, &n)
	n.Pending = max(0, n.Written-n.Applied)
	errLatency := c.readLatency(ctx, &n)
	if malformed > 0 {
		return n, errors.Join(errApplied, errWritten, errLatency, fmt.Errorf("%d records of the topic are no events of this system", malformed))
	}
	return n, errors.Join(errApplied, errTopic, errWritten, errLatency)
}

// Ready says whether the topic has been read up to where it ended at the beginning: before, too few events count as
// published.
func (c *Collector) Ready() bool {
	ready, _ := c.tail.Ready()
	return ready
}

// ReadExactly counts every row of the outbox again. Read counts only the newer ones, and may miss those of a transaction
// that took longer than settled, until they are published.
func (c *Collector) ReadExactly(ctx context.Context) (Counts, error) {
	c.written = written{}
	return c.Read(ctx)
}

const selectApplied = `
SELECT coalesce(sum(applied_events), 0)::bigint, coalesce(sum(duplicate_events), 0)::bigint
FROM projection_offsets`

func (c *Collector) readApplied(ctx context.Context, n *Counts) (ignored int64, err error) {
	if err := c.readModel.QueryRow(ctx, selectApplied).Scan(&n.Applied, &ignored); err != nil {
		return 0, fmt.Errorf("applied events: %w", err)
	}
	return ignored, nil
}

// ForgetLatency leaves what has arrived until now out of the latencies.
func (c *Collector) ForgetLatency() {
	c.latency = c.latency[max(0, len(c.latency)-1):]
}

// scrapeEvery is how often the projectors are asked for latencies: it costs them and us more than the rest.
const scrapeEvery = 3 * time.Second

// readLatency estimates the quantiles of what arrived within the window. One that is down has nothing to say; an error is a refusal.
func (c *Collector) readLatency(ctx context.Context, n *Counts) error {
	if last := len(c.latency) - 1; last > 0 && time.Since(c.latency[last].at) < scrapeEvery {
		n.P50, n.P99 = c.quantiles(c.latency[last].h)
		return c.refused
	}
	now := histogram{}
	c.refused = nil
	for _, url := range c.projectors {
		m, err := c.asker.Scrape(ctx, url)
		if err == nil {
			now.add(m[latencyMetric])
		}
		if _, is := errors.AsType[auth.Refusal](err); is {
			c.refused = err
		}
	}
	if len(c.latency) == 0 {
		c.latency = append(c.latency, reading{time.Now(), histogram{}}) // nothing had arrived before the first reading
	}
	c.latency = append(c.latency, reading{time.Now(), now})
	for len(c.latency) > 2 && time.Since(c.latency[1].at) >= window {
		c.latency = c.latency[1:]
	}
	n.P50, n.P99 = c.quantiles(now)
	return c.refused
}

func (c *Collector) quantiles(now histogram) (p50, p99 time.Duration) {
	recent := now.since(c.latency[0].h)
	return recent.quantile(0.5), recent.quantile(0.99)
}
