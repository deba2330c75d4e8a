package api

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// service is an API on a database of its own.
type service struct {
	*api

	t        testing.TB
	pool     *pgxpool.Pool
	output   *testenv.Output
	registry *prometheus.Registry
}

func setup(t testing.TB) *service {
	t.Helper()
	return setupOn(t, testenv.Orders(t), 64)
}

func setupOn(t testing.TB, url string, inFlight int) *service {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 8
	if config.ConnConfig.RuntimeParams["lock_timeout"] == "" {
		config.ConnConfig.RuntimeParams["lock_timeout"] = "300ms"
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := &service{t: t, pool: pool, output: new(testenv.Output), registry: prometheus.NewRegistry()}
	s.api = open(Config{Pool: pool, Log: eventlog.New(pool, slog.New(slog.DiscardHandler)), Logger: slog.New(slog.NewTextHandler(s.output, nil)), Metrics: s.registry, InFlight: inFlight})
	return s
}

// reply is an answer as a client sees it.
type reply struct {
	code   int
	header http.Header
	body   string
}

// order reads the reply as an order.
func (r reply) order(t testing.TB) view {
	t.Helper()
	var v view
	if err := json.Unmarshal([]byte(r.body), &v); err != nil || r.code/100 != 2 {
		t.Fatalf("got %d %s (%v), want an order", r.code, r.body, err)
	}
	return v
}

// problem reads the reply as a problem.
func (r reply) problem(t testing.TB) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(r.body), &d); err != nil || r.header.Get("Content-Type") != "application/problem+json" || d.Status != r.code {
		t.Fatalf("got %d %q %s (%v), want a problem of that status", r.code, r.header.Get("Content-Type"), r.body, err)
	}
	return d
}

// post sends a JSON body; headers are pairs of name and value.
func (s *service) post(path, body string, headers ...string) reply {
	return s.send(http.MethodPost, path, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...)
}

func (s *service) get(path string) reply { return s.send(http.MethodGet, path, nil) }

func (s *service) send(method, path string, body io.Reader, headers ...string) reply {
	r := httptest.NewRequestWithContext(context.Background(), method, path, body)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

const soup = `{"customer_id": 7, "service": "delivery", "lines": [{"item_id": 1, "quantity": 2}]}`

// placed places an order and returns its path.
func (s *service) placed() string {
	s.t.Helper()
	r := s.post("/v1/orders", soup)
	if r.code != http.StatusCreated {
		s.t.Fatalf("place: %d %s", r.code, r.body)
	}
	return r.header.Get("Location")
}

// verbs are the last parts of the paths that act on an order.
func (s *service) verbs() (verbs []string) {
	for path := range s.huma.OpenAPI().Paths {
		if verb, is := strings.CutPrefix(path, "/v1/orders/{id}/"); is && verb != "events" {
			verbs = append(verbs, verb)
		}
	}
	slices.Sort(verbs)
	return verbs
}

// count returns how many rows a table has.
func (s *service) count(table string) (n int) {
	s.t.Helper()
	s.scan(&n, "SELECT count(*) FROM "+table)
	return n
}

func (s *service) scan(target any, statement string, arguments ...any) {
	s.t.Helper()
	if err := s.pool.QueryRow(context.Background(), statement, arguments...).Scan(target); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

func (s *service) exec(statement string) {
	s.t.Helper()
	if _, err := s.pool.Exec(context.Background(), statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// holding runs a statement in a transaction that stays open until the returned function rolls it back.
func (s *service) holding(statement string, arguments ...any) (release func()) {
	s.t.Helper()
	tx, err := s.pool.Begin(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), statement, arguments...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	return func() { _ = tx.Rollback(context.Background()) } // a second call has nothing to do
}

// until asks the database over and over, and fails when a minute did not bring what is wanted.
func (s *service) until(condition string, arguments ...any) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		var holds bool
		s.scan(&holds, "SELECT "+condition, arguments...)
		if holds {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("after a minute still not: %s", condition)
		}
	}
}
