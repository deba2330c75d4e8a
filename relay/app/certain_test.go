package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// A relay stands still between two readings, another takes over and publishes, and what the first one has read does not fit together
// any more: an event that its view of the table has not, a topic that does not end as its checkpoint says. It must stand by, not
// refuse: nobody would start it again. The server has ended its stream, whether it has noticed that or not.
func TestWhoeverWasTakenOverFromRefusesNothing_I6_I7(t *testing.T) {
	t.Parallel()
	for moment, at := range map[string]struct {
		begun  bool // it is not the first start
		before func(context.Context, *session) (behind func() error, err error)
	}{
		"the table was read": {false, func(ctx context.Context, s *session) (func() error, error) {
			_, table, err := s.remakeSlot(ctx, "")
			return func() error {
				defer table.Close(ctx)
				_, err := s.loadTable(ctx, table)
				return err
			}, err
		}},
		"the checkpoint was read": {true, func(ctx context.Context, s *session) (_ func() error, err error) {
			s.cp, _, err = checkpoint.Read(ctx, s.kafka, s.checkpointTopic())
			return func() error { return s.check(ctx) }, err
		}},
	} {
		for _, noticed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, noticed %t", moment, noticed), func(t *testing.T) {
				t.Parallel()
				s := setup(t)
				s.write(5, 2)
				if at.begun {
					_, stop := s.start()
					s.published()
					if err := stop(); err != nil {
						t.Fatal(err)
					}
				}
				takenOver := func() {
					s.start()
					s.write(5, 2)
					s.published()
				}
				var found error
				err := s.relay().session(t.Context(), func(ctx context.Context, first *session) error {
					if err := errors.Join(first.begin(ctx), first.fence(ctx)); err != nil {
						t.Fatal(err)
					}
					behind, err := at.before(ctx, first)
					if err != nil {
						t.Fatal(err)
					}
					stream := first.slot.Stream
					first.release()
					if !noticed {
						done := make(chan struct{})
						first.slot = &held{Stream: stream, cancel: func() { close(done) }, done: done}
					}
					takenOver()
					found = behind()
					return found
				})
				if !errors.As(found, new(*checkpoint.Refusal)) {
					t.Errorf("found %v, want what would be refused: the test has not reached its moment", found)
				}
				if err == nil || permanent(err) {
					t.Errorf("ended with %v, want an error with which it begins anew", err)
				}
			})
		}
	}
}

// A relay that is pointed at another database fences the right one, which is a nuisance, and refuses. The right one fences it in turn; were
// that taken for a takeover, the two would go on for ever. The gates are open that would tell the database at once, so that it takes as
// long as it does to tell an older copy of the right one.
func TestARelayOfAnotherDatabaseRefusesOnceAndForAll_I7(t *testing.T) {
	t.Parallel()
	right := setup(t)
	wrong := setupOn(t, testenv.NewCluster(t).Orders(), strings.Join(right.config.Brokers, ","))
	wrong.config.Topic, wrong.config.Slot = right.config.Topic, right.config.Slot
	wrong.open = []checkpoint.Gate{checkpoint.GateSystem, checkpoint.GateTimeline, checkpoint.GateAck, checkpoint.GateLog, checkpoint.GatePublication}
	wrong.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", wrong.config.Slot)
	right.start()
	right.write(5, 2)
	right.published()

	r := wrong.relay()
	ended := make(chan error, 1)
	go func() { ended <- r.supervise(t.Context(), t.Context()) }()
	for {
		select {
		case err := <-ended:
			wrong.refused(err, checkpoint.GateCanary)
			if n := testutil.ToFloat64(r.metrics.sessions); n != 1 {
				t.Errorf("it began %g times", n)
			}
			right.published()
			return
		default:
			right.write(1, 1) // so that the right one notices
		}
	}
}
