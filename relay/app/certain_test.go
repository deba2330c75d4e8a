package app

import (
	"context"
	"errors"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// A relay stands still between two readings, another takes over and publishes, and what the first one has read does not fit together
// any more: an event that its view of the table has not, a topic that does not end as its checkpoint says. It must stand by, not
// refuse: nobody would start it again. Its stream is let go of, as if the server had ended it and the relay had not noticed yet.
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
		t.Run(moment, func(t *testing.T) {
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
				first.release()
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
