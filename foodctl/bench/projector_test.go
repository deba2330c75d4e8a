package bench

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// apart is a Postgres that the relays' tests do not share: they wait for the log to stand still.
func apart(t *testing.T) (url string) {
	t.Helper()
	return testenv.NewCluster(t).URL("postgres")
}

// little is the projector's bench in small, on given servers.
func little(t *testing.T, databaseURL string, parts ...Part) Projector {
	t.Helper()
	return Projector{
		Config: givenWith(t, databaseURL), Parts: parts, Open: 50, Events: 6000, Members: []int{1, 3}, Rates: []float64{50, 300}, For: time.Second,
		Faults: []Fault{Kill, Pause}, Rounds: 2, Rate: 100, Session: shortestSession, Orders: []int64{0, 300},
	}
}

func TestTheProjectorsBenchMeasuresChecksAndLeavesNothing(t *testing.T) {
	t.Parallel()
	c := little(t, apart(t), Parts...)
	r, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Void {
		t.Errorf("void: %+v", r)
	}
	limits := []Limit{r.Replay.Copy, r.Replay.Unnest, r.Replay.Both, r.Replay.Whole}
	for _, l := range limits {
		if l.EventsPerSecond <= 0 || l.Events != c.Events || len(l.Different) > 0 || l.CPU.Postgres != nil || l.CPU.Broker != nil {
			t.Errorf("%s: %+v", l.Name, l)
		}
	}
	if len(r.Replay.Replays) != len(c.Members) {
		t.Errorf("%d replays", len(r.Replay.Replays))
	}
	for _, p := range append(r.Replay.Replays, r.Replay.WarmUp) {
		if !p.Check.Clean() || p.Check.Applied != c.Events || p.Check.Rows < c.Events || p.Events != c.Events || p.Transactions < 3 {
			t.Errorf("%d members: %+v", p.Members, p)
		}
	}
	if got := r.Replay.Replays[0].Ratios; got.Copy <= 0 || got.Unnest <= 0 || got.Both <= 0 || got.Whole <= 0 {
		t.Errorf("ratios %+v", got)
	}
	for _, d := range r.Latency.Rates {
		if d.Events != int(d.Rate) || d.Visible.P50 <= 0 || d.Visible.P50 > d.Visible.Max || d.Commit.P50 <= 0 {
			t.Errorf("%g events/s: %+v", d.Rate, d)
		}
	}
	if v := r.Latency.Check; !v.Clean() || v.Events != int64(3*50+3*300+2*heat+heat*warmUp.Seconds()) {
		t.Errorf("check of the latency: %+v", v)
	}
	for _, g := range r.Growth.Sizes {
		if v := g.Check; !v.Clean() || v.Applied != c.Events+int64((heat+growthRate)*(c.For+warmUp).Seconds()) || g.Replay.EventsPerSecond <= 0 || g.Bytes <= 0 ||
			g.HOT <= 0 || g.Latency.Visible.P50 <= 0 {
			t.Errorf("%d orders: %+v", g.Orders, g)
		}
	}
	if n := len(r.Growth.Sizes); n != len(c.Orders) {
		t.Errorf("%d sizes", n)
	}
	for _, f := range r.Takeover.Faults {
		// Before the session has ended nobody has the partitions of one that says nothing; half of the time may have gone by
		// since it was heard of.
		if f.Rounds != c.Rounds || f.Applied.Min < c.Session.Seconds()/2 || f.Claimed.Min <= 0 || f.Claimed.Min > f.Applied.Max {
			t.Errorf("%s: %+v", f.Fault, f)
		}
	}
	if v := r.Takeover.Check; !v.Clean() || v.Events < 1 {
		t.Errorf("check of the takeovers: %+v", v)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if err := r.Write(io.Discard); err != nil {
		t.Error(err)
	}
	if names := left(t, c.Config); len(names) > 0 {
		t.Errorf("left: %q", names)
	}
}

// TestAProjectorsBenchThatIsStoppedLeavesNothing stops it while bare clients write, while a projector runs, and while events
// flow.
func TestAProjectorsBenchThatIsStoppedLeavesNothing(t *testing.T) {
	t.Parallel()
	url := apart(t)
	for at, part := range map[string]Part{
		"bare client: fence, read, unnest": Replays, "projector, members: 3": Replays, "50 events/s for 1s": Delays,
		"kill 1 of 2: ": Handovers,
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			c := little(t, url, part)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Progress = func(text string) {
				if strings.HasPrefix(text, at) {
					cancel()
				}
			}
			if _, err := c.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that it was stopped", err)
			}
			if names := left(t, c.Config); len(names) > 0 {
				t.Errorf("left: %q", names)
			}
		})
	}
}

// recorded is a replay of which the recording is made.
func recorded(t *testing.T) *replays {
	t.Helper()
	s, err := start(t.Context(), givenWith(t, apart(t)), kafkaserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	x, err := s.newReplays(t.Context(), Projector{Open: 50, Events: 3000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := x.record(t.Context()); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestWrongRowsMakeTheFiguresVoid(t *testing.T) {
	t.Parallel()
	x := recorded(t)
	want, err := x.rows(t.Context(), x.recorded.conn)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"customer_stats_shard", "item_popularity_shard", "kitchen_board", "order_summary", "order_timeline", "revenue_minute_shard"}
	if !slices.Equal(x.recording.tables, all) {
		t.Errorf("recorded was what went into %q, want %q", x.recording.tables, all)
	}
	l, err := x.limit(t.Context(), want, func(context.Context, *readModel) (Pass, error) { return Pass{}, nil })
	slices.Sort(l.Different)
	if err != nil || !slices.Equal(l.Different, all) || !x.Void {
		t.Errorf("of nothing written: %q are other than they must be, %v", l.Different, err)
	}
	for _, statement := range []string{
		`DELETE FROM order_timeline WHERE event_id IN (SELECT event_id FROM order_timeline LIMIT 1)`,
		`UPDATE customer_stats_shard SET orders = orders + 1 WHERE customer_id = 1 AND part = 0`,
	} {
		if _, err := x.recorded.conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := x.recorded.judge(t.Context()); err != nil || v.WrongRows != 2 || v.Clean() || len(v.Findings) != 2 {
		t.Errorf("%+v, %v: want two wrong rows", v, err)
	}
}

func TestAFenceThatDoesNotHoldEndsTheReplay(t *testing.T) {
	t.Parallel()
	x := recorded(t)
	m, err := x.readModel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(context.Context) error { return nil }
	taken := func() {
		if _, err := m.conn.Exec(t.Context(), `UPDATE projection_offsets SET owner_epoch = owner_epoch + 1`); err != nil {
			t.Error(err)
		}
	}
	err = x.replayers(t.Context(), m, taken, nothing, func(p *replayer, part int) error {
		b := x.recording.batches[part][0]
		said, err := x.recording.messages(b)
		if err == nil {
			err = p.batch(b, said, whole)
		}
		return err
	})
	if !errors.Is(err, errNotHeld) {
		t.Errorf("error %v", err)
	}
	if err := m.drop(t.Context()); err != nil {
		t.Error(err)
	}
}
