package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/registry"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// errOvertaken ends a session whose readings are void.
var errOvertaken = errors.New("another relay has, or may have, taken over meanwhile")

// certain is err, unless it would end the relay for good and another one may have taken over. A relay that was paused between two readings
// goes on with the first, reads the second behind its successor, and finds that the two do not fit: no history is another then.
//
// Whoever holds the slot yet has no successor. It is looked at behind the readings: before them, the pause could come in between. The
// fence would not do: a relay that is pointed at another database, and so is right to refuse, is fenced by the one that it has fenced, and
// would begin anew for ever. It is asked where there is no slot to hold, or none that can be read on.
func (s *session) certain(ctx context.Context, err error) error {
	if s.producer == nil || !permanent(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reachWithin)
	defer cancel()
	held, failed := s.holds(ctx)
	if failed == nil && !held {
		failed = errOvertaken
	}
	if failed != nil {
		return fmt.Errorf("%w; so this is not certain: %v", failed, err) //nolint:errorlint // nor is it to be found in there
	}
	return err
}

func (s *session) holds(ctx context.Context) (bool, error) {
	if s.slot == nil || s.slot.ended() {
		return s.producer.Latest(ctx)
	}
	slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
	if errors.Is(err, wal.ErrNoSlot) {
		return false, nil
	}
	return slot.Sender == s.slot.Sender(), err
}

// permanent says whether a new session would only meet the same error. Everything else is answered by a new session,
// fencing included: a relay that was fenced finds the slot taken and stands by.
func permanent(err error) bool {
	var refusal *checkpoint.Refusal
	if errors.As(err, &refusal) { // another history: to try again is not to look
		return true
	}
	for _, target := range []error{
		topic.ErrUnpublishable,                  // skipping it would be a loss
		topic.ErrNoSchema,                       // skipping it would be a loss, too
		registry.ErrRefused,                     // it has another schema, or a right is missing
		publish.ErrTooLarge,                     // skipping it would be a loss
		checkpoint.ErrNewer,                     // a newer relay must run
		checkpoint.ErrDamaged,                   // relay recover replaces it
		checkpoint.ErrTopic,                     // its settings may lose the checkpoint
		sql.ErrSchema,                           // foodctl migrate
		layout.ErrTable,                         // a column is missing, or of another type
		backlog.ErrUnordered,                    // relay.order.by must name a column
		publish.ErrUnusable,                     // a missing topic, an old broker
		wal.ErrPublication,                      // events may be missing from it
		kerr.MessageTooLarge,                    // the broker's limit is lower than the topic says
		kerr.TopicAuthorizationFailed,           // an ACL is missing
		kerr.TransactionalIDAuthorizationFailed, // an ACL is missing
		kerr.ClusterAuthorizationFailed,
		kerr.SaslAuthenticationFailed,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "28000", "28P01", // the role or its password
			"42501", // a grant, or the REPLICATION attribute
			"42703", // a column
			"3D000": // the database
			return true
		}
	}
	return false
}
