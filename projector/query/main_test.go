package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const testTopic = "food-orders"

var testTopicID = uuid.MustParse("6f1f4c5e-0000-4000-8000-000000000001")

// service is an API on a database of its own, which it reads with the rights that it has anywhere.
type service struct {
	*API

	t        testing.TB
	url      string
	pool     *pgxpool.Pool // a superuser's
	log      *testenv.Output
	registry *prometheus.Registry
	parts    map[int32]*view.Partition
	stop     func() // ends the API's Run
}

func setup(t testing.TB) *service {
	t.Helper()
	return setupWith(t, func(*Config) {})
}

func setupWith(t testing.TB, change func(*Config)) *service {
	t.Helper()
	s := &service{t: t, url: testenv.ReadModel(t), log: new(testenv.Output), registry: prometheus.NewRegistry()}
	s.pool = s.connect(view.Connect, s.url)
	cfg := Config{
		Pool: s.connect(Connect, s.url+"&role=readmodel_reader"), Topic: testTopic, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		Metrics: s.registry, InFlight: 64, Streams: 300, Heartbeat: 15 * time.Second,
	}
	change(&cfg)
	s.API = New(cfg)
	s.stop = s.run(s.API)
	claimed, refused, err := view.New(s.pool, testTopic, 100).Claim(context.Background(), "test", view.Log{
		TopicID: testTopicID, Bounds: map[int32]view.Bounds{0: {End: 1 << 40}, 1: {End: 1 << 40}, 2: {End: 1 << 40}},
	})
	if err != nil || len(refused) > 0 {
		t.Fatalf("claim: refused %v, err %v", refused, err)
	}
	s.parts = claimed
	return s
}

// run runs an API until the returned function is called, or the test ends.
func (s *service) run(a *API) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := a.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	stop = func() { cancel(); <-ended }
	s.t.Cleanup(stop)
	return stop
}

type connector func(context.Context, string, int32, func(context.Context, *pgx.ConnConfig) error) (*pgxpool.Pool, error)

func (s *service) connect(with connector, url string) *pgxpool.Pool {
	s.t.Helper()
	pool, err := with(context.Background(), url, 8, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(pool.Close)
	return pool
}

// history is n events of so many orders at a time, for a partition: another history for each.
func history(part int32, orders, n int) []view.Event {
	var events []view.Event
	for _, e := range viewtest.History(uint64(part)+1, orders, 2*n) {
		if len(events) == n || e.Type == event.TypeCustomerErased { // which nobody is told of
			continue
		}
		events = append(events, view.Event{Event: e.Event, Offset: e.Offset, LeaderEpoch: e.LeaderEpoch, Data: e.Data, Raw: raw(e.Event)})
	}
	return events
}

// raw is an event as the tests have it in a record.
type raw event.Event

func (r raw) Record() view.Record {
	value, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return view.Record{Key: []byte(r.Order.String()), Value: value, At: r.At}
}

// apply applies events as the projector does.
func (s *service) apply(part int32, events []view.Event) {
	s.t.Helper()
	if _, err := s.parts[part].Apply(context.Background(), events); err != nil {
		s.t.Fatal(err)
	}
}

// filled applies a history to each of the three partitions, and returns all of their events.
func (s *service) filled(orders, n int) (all []view.Event) {
	s.t.Helper()
	for part := range int32(3) {
		events := history(part, orders, n)
		s.apply(part, events)
		all = append(all, events...)
	}
	return all
}

func (s *service) exec(statement string, arguments ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(context.Background(), statement, arguments...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

func (s *service) scan(statement string, targets ...any) {
	s.t.Helper()
	if err := s.pool.QueryRow(context.Background(), statement).Scan(targets...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// reply is an answer as a client sees it.
type reply struct {
	code   int
	header http.Header
	body   string
}

// get asks for a path; headers are pairs of name and value.
func (s *service) get(path string, headers ...string) reply {
	return s.send(http.MethodGet, path, headers...)
}

func (s *service) send(method, path string, headers ...string) reply {
	r := httptest.NewRequestWithContext(context.Background(), method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// into reads the reply, a 200, as JSON that has the target's fields and no others.
func (r reply) into(t testing.TB, target any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader([]byte(r.body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(target); err != nil || r.code != http.StatusOK || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %d %s (%v), want an answer", r.code, r.body, err)
	}
}

func unmarshal(r reply, target any) error { return json.Unmarshal([]byte(r.body), target) }

// problem reads the reply as a problem.
func (r reply) problem(t testing.TB) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(r.body), &d); err != nil || r.header.Get("Content-Type") != "application/problem+json" || d.Status != r.code {
		t.Fatalf("got %d %q %s (%v), want a problem of that status", r.code, r.header.Get("Content-Type"), r.body, err)
	}
	return d
}

// UnmarshalText is what an answer's reader does.
func (p *position) UnmarshalText(text []byte) error {
	var ok bool
	if *p, ok = parsePosition(string(text)); !ok {
		return errors.New("not a position: " + string(text))
	}
	return nil
}

// until asks over and over, and fails when a minute did not bring what is wanted.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute still not: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
