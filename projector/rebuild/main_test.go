package rebuild

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// world is a topic and a read model.
type world struct {
	*testing.T
	*viewtest.Producer

	config Config
	url    string
	live   *pgxpool.Pool
}

func setup(t *testing.T, partitions int32) *world {
	t.Helper()
	brokers := testenv.Broker(t)
	w := &world{T: t, url: testenv.ReadModel(t)}
	w.config = Config{
		Brokers: strings.Split(brokers, ","), Topic: testenv.Topic(t, brokers, partitions), Owner: "a test", MaxBlocked: 100,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	w.live = w.connect(w.url, "public")
	w.Producer = viewtest.NewProducer(t, brokers, w.config.Topic)
	return w
}

func (w *world) connect(url, schema string) *pgxpool.Pool {
	w.Helper()
	pool, err := view.ConnectTo(w.Context(), url, schema, 8, nil)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(pool.Close)
	return pool
}

func (w *world) send(events []viewtest.Event) {
	w.Helper()
	if err := w.Send(events, 200); err != nil {
		w.Fatal(err)
	}
}

// project applies the topic to the read model in a schema, as a projector does, up to what is in it: of some partitions, or of all.
func (w *world) project(schema string, parts ...int32) {
	w.Helper()
	pool := w.connect(w.url, schema)
	r := New(w.config, nil, nil)
	r.view = view.New(pool, w.config.Topic, 100)
	f, err := r.open(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	defer f.close()
	ends, err := f.ends(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for part, end := range ends {
		if len(parts) == 0 || slices.Contains(parts, part) {
			if err := f.parts[part].advance(w.Context(), end); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// rebuild makes the read model anew, over a live pool, and returns what it said.
func (w *world) rebuild(live *pgxpool.Pool) (string, error) {
	w.Helper()
	var out bytes.Buffer
	cfg := w.config
	cfg.Progress = &out
	err := New(cfg, live, w.connect(w.url, view.Rebuild)).Run(w.Context())
	return out.String(), err
}

func (w *world) must(out string, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
}

func (w *world) number(query string) (n int64) {
	w.Helper()
	if err := w.live.QueryRow(w.Context(), query).Scan(&n); err != nil {
		w.Fatalf("%s: %v", query, err)
	}
	return n
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.live.Exec(w.Context(), sql, args...); err != nil {
		w.Fatal(err)
	}
}

// unacceptable are two events, the second of which no order can take.
func unacceptable() []viewtest.Event {
	placed := viewtest.History(1, 1, 1)[0]
	refund := event.RefundIssued{Amount: event.Money{Minor: 1, Currency: "XXX"}}
	e, err := event.New(placed.Order, 2, placed.At, refund)
	if err != nil {
		panic(err)
	}
	return []viewtest.Event{placed, {Event: e, LeaderEpoch: -1, Data: refund}}
}
