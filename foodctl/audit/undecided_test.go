package audit_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestAnEmptyPipelineHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withModel().withSlot()
	r := w.audit()
	if r.Verdict != audit.Holds || r.Source.Events != 0 {
		show(t, r)
		t.Errorf("verdict %s with %d events, want holds with 0", r.Verdict, r.Source.Events)
	}
}

// undecided fails unless the report says nothing but that it could not judge, and why.
func undecided(t *testing.T, r audit.Report, why string) {
	t.Helper()
	if r.Verdict != audit.Undecided || r.Findings != 0 || !strings.Contains(strings.Join(r.Undecided, "\n"), why) {
		show(t, r)
		t.Errorf("verdict %s, %d findings, reasons %q; want undecided because %q", r.Verdict, r.Findings, r.Undecided, why)
	}
}

func TestUndecidedWhileEventsMayStillArrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withSlot()
	w.live(8)
	w.publish(w.unpublished())
	w.live(1)
	w.cfg.Timeout = 300 * time.Millisecond
	r := w.audit()
	undecided(t, r, "are not in the topic yet")
	if want := int64(len(w.unpublished())); r.Counts.Pending != want {
		t.Errorf("pending = %d, want %d", r.Counts.Pending, want)
	}
}

func TestUndecidedWhileTheReadModelLags(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withModel()
	w.live(8)
	w.publish(w.unpublished())
	w.project()
	w.live(8)
	w.publish(w.unpublished())
	w.cfg.Timeout = 300 * time.Millisecond
	r := w.audit()
	undecided(t, r, "does not reflect the cut yet")
	if r.ReadModel.Applied != r.ReadModel.Pending || r.ReadModel.Applied == 0 {
		t.Errorf("applied %d, pending %d, want half of the events each", r.ReadModel.Applied, r.ReadModel.Pending)
	}
}

func TestUndecidedBehindAnOpenTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(1)
	records := w.unpublished()
	zombie := w.newProducer()
	if err := zombie.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		rec.Partition = 0
	}
	if err := zombie.ProduceSync(t.Context(), copies(records)...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.transact(records, kgo.TryCommit)
	w.cfg.Timeout = 300 * time.Millisecond
	undecided(t, w.audit(), "an open transaction holds readers back")
	if err := zombie.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	w.cfg.Timeout = time.Minute
	if r := w.audit(); r.Verdict != audit.Holds {
		show(t, r)
		t.Errorf("verdict = %s once the transaction is aborted, want holds", r.Verdict)
	}
}

func TestUndecidedWhenSomethingIsAway(t *testing.T) {
	t.Parallel()
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	w := newWorld(t)
	w.cfg.Timeout = time.Second
	empty, unknown := testenv.Empty(t), testenv.Name(t)
	cases := []struct {
		name   string
		change func(*audit.Config)
		why    string
	}{
		{"orders database", func(c *audit.Config) { c.OrdersURL = "postgres://u:geheim@" + nobody + "/orders" }, "orders database:"},
		{"schema", func(c *audit.Config) { c.OrdersURL = empty }, "foodctl migrate"},
		{"read model", func(c *audit.Config) { c.ReadModelURL = "postgres://u:geheim@" + nobody + "/readmodel" }, "read model's database:"},
		{"broker", func(c *audit.Config) { c.Brokers = []string{nobody} }, "is Kafka running at"},
		{"topic", func(c *audit.Config) { c.Topic = unknown }, "foodctl topics"},
		{"slot", func(c *audit.Config) { c.Slot = unknown }, "start the relay"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := w.cfg
			c.change(&cfg)
			r, err := audit.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			undecided(t, r, c.why)
			if strings.Contains(strings.Join(r.Undecided, ""), "geheim") {
				t.Errorf("reasons %q hold the password", r.Undecided)
			}
		})
	}
}

func TestAnEndedContextIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := audit.Run(ctx, w.cfg); err == nil {
		t.Errorf("verdict %s without error, want an error", r.Verdict)
	}
}
