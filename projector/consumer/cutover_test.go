package consumer

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// first is how many events these tests publish in a transaction of their own, before all others.
const first = 100

// prepare makes a new read model of the first events of partition 0, beside the live one.
func (r *rig) prepare(events []viewtest.Event) {
	r.Helper()
	if _, err := r.pool.Exec(r.Context(), `SELECT read_model_begin(); INSERT INTO rebuild.read_models SELECT * FROM public.read_models`); err != nil {
		r.Fatal(err)
	}
	pool, err := view.ConnectTo(r.Context(), r.url, view.Rebuild, 2, nil)
	if err != nil {
		r.Fatal(err)
	}
	defer pool.Close()
	log, err := Log(r.Context(), kadm.NewClient(r.Client), r.topic)
	if err != nil {
		r.Fatal(err)
	}
	claimed, _, err := view.New(pool, r.topic, r.maxBlocked).Claim(r.Context(), "rebuild", log)
	if err != nil {
		r.Fatal(err)
	}
	var records []view.Event
	for i, e := range events {
		offset := int64(i)
		if i >= first {
			offset++ // the marker's
		}
		records = append(records, view.Event{Event: e.Event, Offset: offset, LeaderEpoch: -1, Data: e.Data})
	}
	if _, err := claimed[0].Apply(r.Context(), records); err != nil {
		r.Fatal(err)
	}
}

// hold keeps the live offsets as they are until the returned function is called, which cuts over and changes what is live then.
func (r *rig) hold() (cutOver func(change string)) {
	r.Helper()
	tx, err := r.pool.Begin(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	if _, err := tx.Exec(r.Context(), `LOCK TABLE public.projection_offsets IN ACCESS EXCLUSIVE MODE`); err != nil {
		r.Fatal(err)
	}
	return func(change string) {
		r.Helper()
		if _, err := tx.Exec(r.Context(), `SELECT read_model_swap('rebuild'); `+change); err != nil {
			r.Fatal(err)
		}
		if err := tx.Commit(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
}

// waits waits until a batch waits for the live offsets.
func (r *rig) waits() {
	r.Helper()
	r.until("a batch waits", func() bool {
		return r.number(`
SELECT count(*)
FROM pg_locks
WHERE NOT granted
  AND relation = 'public.projection_offsets'::regclass
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) > 0
	})
}

// behind starts a process whose batch waits for a cut-over, to a read model of the first so many events. All else is queued behind it.
func (r *rig) behind(events []viewtest.Event, made int) (p *process, cutOver func(change string)) {
	r.Helper()
	r.publish(events[:first], first)
	p = r.start(1)
	r.arrived(events[:first])
	r.prepare(events[:made])
	cutOver = r.hold()
	r.publish(events[first:], len(events))
	r.waits()
	return p, cutOver
}

// What became live is further than what is in hand and queued.
func TestAWorkerGoesOnInAReadModelThatIsFurther_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	events := viewtest.History(41, 20, 1000)
	p, cutOver := r.behind(events, 930)
	cutOver("SELECT 1")
	r.arrived(events)
	more := viewtest.History(42, 20, 300)
	r.publish(more, 300)
	r.arrived(append(events, more...))
	if n := testutil.CollectAndCount(p.metrics.stopped); n != 1 || testutil.ToFloat64(p.metrics.stopped.WithLabelValues("0")) != 0 {
		t.Error("the partition stopped")
	}
}

// The database answers with an error at first: that passes.
func TestAWorkerClaimsAgainUntilItGetsThrough(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	events := viewtest.History(43, 20, 400)
	p, cutOver := r.behind(events, first)
	cutOver(`
CREATE SEQUENCE tries;
CREATE FUNCTION not_yet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('tries') <= 3 THEN -- which no rollback takes back
    RAISE EXCEPTION 'not yet' USING ERRCODE = 'lock_not_available';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER not_yet BEFORE UPDATE ON projection_offsets FOR EACH ROW EXECUTE FUNCTION not_yet()`)
	r.arrived(events)
	if n := r.number(`SELECT last_value FROM tries`); n <= 3 {
		t.Errorf("%d tries", n)
	}
	if got := testutil.ToFloat64(p.metrics.rebalances); got != 1 {
		t.Errorf("%v rebalances: the member has joined again, which would have mended it too", got)
	}
}

func TestAWorkerStopsIfWhatIsLiveIsNotOfItsTopic_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	events := viewtest.History(44, 20, 400)
	p, cutOver := r.behind(events, first)
	cutOver(`UPDATE public.projection_offsets SET topic_id = '` + uuid.NewString() + `'`)
	if got := p.stopped(); !strings.Contains(got, "deleted and made again") {
		t.Errorf("health: %s", got)
	}
	r.tables(events[:first])
}
