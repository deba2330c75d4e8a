package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// fake is a target that decides orders in memory, as the API does, unless its fields say otherwise.
type fake struct {
	takes func(nth int, since time.Duration) time.Duration // to answer; called by one at a time
	spoil func(Request, Answer) Answer

	began time.Time

	mu     sync.Mutex // guards what follows
	asked  []time.Duration
	orders map[uuid.UUID]order.Order
	keys   map[string]Answer
}

func newFake(takes func(nth int, since time.Duration) time.Duration) *fake {
	return &fake{takes: takes, began: time.Now(), orders: make(map[uuid.UUID]order.Order), keys: make(map[string]Answer)}
}

func (f *fake) Name() string  { return "fake" }
func (f *fake) Close()        {}
func (f *fake) Flaws() []Flaw { return []Flaw{UnknownItem, NoQuantity, BrokenRule} }

func (f *fake) Menu(context.Context) ([]event.Line, error) { return menu(20), nil }

// menu is one of so many items.
func menu(n int) (lines []event.Line) {
	for i := range n {
		lines = append(lines, event.Line{ItemID: i + 1, Name: fmt.Sprint("dish ", i+1), UnitPrice: event.Money{Minor: 100, Currency: "EUR"}})
	}
	return lines
}

func (f *fake) Do(ctx context.Context, r Request) Answer {
	f.mu.Lock()
	since := time.Since(f.began)
	f.asked = append(f.asked, since)
	takes := f.takes(len(f.asked), since)
	a := f.answer(r)
	f.mu.Unlock()
	if err := ops.Sleep(ctx, takes); err != nil {
		return Answer{Outcome: NoAnswer, Status: "none", Detail: err.Error()}
	}
	if f.spoil != nil {
		a = f.spoil(r, a)
	}
	return a
}

func (f *fake) answer(r Request) Answer {
	if a, used := f.keys[r.Key]; used {
		a.Replayed = true
		return a
	}
	if r.Flaw != Sound {
		return Answer{Outcome: Refused, Status: "refused"}
	}
	id, o := r.Order, f.orders[r.Order]
	if r.Kind == Place {
		id = uuid.New()
	}
	if r.Kind != Read {
		decision, err := order.Decide(o, r.Do, time.Now())
		if err != nil {
			return Answer{Outcome: Wrong, Status: "rule", Detail: err.Error()}
		}
		for _, data := range decision {
			o = order.Apply(o, o.Version+1, time.Now(), data)
		}
		f.orders[id] = o
	}
	a := Answer{Outcome: Done, Status: "done", Order: id, State: o, Content: fmt.Sprint(id, o.Version)}
	if r.Key != "" {
		f.keys[r.Key] = a
	}
	return a
}

// at once is a server that takes no time.
func atOnce(int, time.Duration) time.Duration { return 0 }

// constant is a load of so many a second, all of them sound places.
func constant(rate float64, d time.Duration) Config {
	return Config{
		Profile: Profile{Shape: Constant, Rate: rate, Duration: d}, Mix: Mix{Customers: 100, Zipf: 1.1, Seed: 1},
		MaxInFlight: 100, Progress: func(string) {},
	}
}

func run(t *testing.T, c Config, target Target) Report {
	t.Helper()
	r, err := Run(t.Context(), c, target)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// count is how many requests had an outcome.
func (r Report) count(of func(Count) bool) (n int64) {
	for _, c := range r.Answers {
		if of(c) {
			n += c.Count
		}
	}
	return n
}

// service is a running orderservice on a database of its own.
type service struct{ url, database string }

func orderservice(t *testing.T) service {
	t.Helper()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	s := service{fmt.Sprintf("http://127.0.0.1:%d", port), testenv.Orders(t)}
	log := new(testenv.Output)
	cmd := exec.Command(testenv.Build(t, "orderservice"))
	cmd.Env = append(cmd.Environ(), "ORDERS_DATABASE_URL="+s.database, "ORDERSERVICE_LISTEN="+strings.TrimPrefix(s.url, "http://"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed
	})
	target := s.api(t)
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := target.Menu(t.Context()); err == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("orderservice does not answer: %s", log)
		}
	}
}

func (s service) api(t *testing.T) Target {
	t.Helper()
	target, err := API(s.url, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

func direction(t *testing.T, database string) Target {
	t.Helper()
	target, err := Log(t.Context(), database, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

// scan reads one number.
func scan(t *testing.T, database, query string) (n int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it has answered
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
