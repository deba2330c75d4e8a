package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// pipeline is a system of its own: two databases, a topic, a slot, a group, and programs.
type pipeline struct {
	*testing.T

	ordersURL, readModelURL string
	brokers, topic          string
	slot, group             string
	logs                    string // directory

	orders, readModel *pgxpool.Pool
	programs          []*program
}

// setup makes a pipeline without a program on the servers that the tests share.
func setup(t *testing.T, brokers string) *pipeline {
	t.Helper()
	return setupOn(t, brokers, testenv.Orders(t), testenv.ReadModel(t))
}

func setupOn(t *testing.T, brokers, ordersURL, readModelURL string) *pipeline {
	t.Helper()
	return setupIn(t, testenv.Topic(t, brokers, topic.Partitions), brokers, ordersURL, readModelURL)
}

func setupIn(t *testing.T, topic, brokers, ordersURL, readModelURL string) *pipeline {
	t.Helper()
	p := &pipeline{
		T: t, ordersURL: ordersURL, readModelURL: readModelURL, brokers: brokers,
		topic: topic, slot: testenv.Name(t), group: testenv.Name(t),
		logs: t.TempDir(), // asked for before the clean-up is, so that it is there longer
	}
	p.orders, p.readModel = p.pool(ordersURL), p.pool(readModelURL)
	t.Cleanup(p.end)
	return p
}

func (p *pipeline) pool(url string) *pgxpool.Pool {
	p.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		p.Fatal(err)
	}
	config.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(context.Background(), config) // it lives until cleanup
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(pool.Close)
	return pool
}

// env is what all programs are told.
func (p *pipeline) env() []string {
	return []string{
		"ORDERS_DATABASE_URL=" + p.ordersURL, "READMODEL_DATABASE_URL=" + p.readModelURL,
		"KAFKA_BROKERS=" + p.brokers, "TOPIC=" + p.topic, "RELAY_SLOT=" + p.slot, "PROJECTOR_GROUP=" + p.group,
		"PROJECTOR_SESSION_TIMEOUT=6s", "LOG_FORMAT=text",
	}
}

// end stops the programs, each in an orderly way unless the test has failed already, and shows their logs if it has.
func (p *pipeline) end() {
	for _, g := range p.programs {
		if g.process == nil {
			continue
		}
		if g.wanted && !p.Failed() {
			g.stop()
		}
		if err := g.process.Kill(); err != nil {
			p.Error(err)
		}
		if broken := g.lines("panic:", "fatal error:", "DATA RACE"); len(broken) > 0 {
			p.Errorf("%s: %s", g.name, broken[0])
		}
	}
	if p.Failed() {
		for _, g := range p.programs {
			if g.process != nil {
				g.dump()
			}
		}
	}
}

// patience bounds every wait. It is long because the machine may be busy with other tests.
const patience = 3 * time.Minute

// until waits for a state, which it has to ask for, and keeps the programs running meanwhile.
func (p *pipeline) until(what string, holds func() bool) {
	p.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !holds() {
		for _, g := range p.programs {
			g.supervise()
		}
		select {
		case <-tick.C:
		case <-timeout:
			p.Fatalf("not within %s: %s; written %d, applied %d", patience, what, p.written(), p.applied())
		case <-p.Context().Done():
			p.Fatalf("the test's time is over: %s", what)
		}
	}
}

// number asks a database for a number; -1 means that it did not answer.
func (p *pipeline) number(pool *pgxpool.Pool, query string, args ...any) int64 {
	ctx, cancel := context.WithTimeout(p.Context(), 5*time.Second)
	defer cancel()
	n := int64(-1)
	if err := pool.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return -1
	}
	return n
}

// written is how many events the outbox has.
func (p *pipeline) written() int64 { return p.number(p.orders, "SELECT count(*) FROM outbox") }

// applied is how many events the read model reflects.
func (p *pipeline) applied() int64 { return p.appliedIn(p.readModel) }

func (p *pipeline) appliedIn(readModel *pgxpool.Pool) int64 {
	return p.number(readModel, "SELECT coalesce(sum(applied_events), 0)::bigint FROM projection_offsets")
}

// claims is how often a projector has taken a partition over.
func (p *pipeline) claims() int64 {
	return p.number(p.readModel, "SELECT coalesce(sum(owner_epoch), 0)::bigint FROM projection_offsets")
}

// flowing waits until so many events that are not written yet have come through.
func (p *pipeline) flowing(events int64) {
	p.Helper()
	before := int64(-1)
	p.until("events flow", func() bool {
		if before < 0 { // the database may be on its way back
			before = p.written()
			return false
		}
		return p.applied() >= before+events
	})
}

// aborted is what the topic holds of transactions that were broken off.
func (p *pipeline) aborted() broker.Aborted {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	a, err := broker.CountAborted(ctx, p.brokers, p.topic)
	if err != nil {
		p.Fatal(err)
	}
	return a
}

// dice are random, and the same again for the seed that a run prints.
func (p *pipeline) dice() *rand.Rand {
	p.Helper()
	seed := rand.Uint64()
	if given := os.Getenv("E2E_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			p.Fatalf("E2E_SEED: %v", err)
		}
	}
	p.Logf("E2E_SEED=%d makes the same choices again", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
