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

// certain is err, unless that is a refusal of what this session has found and another relay has taken over. A relay that was paused
// goes on with what it had read of one place, reads the other behind its successor, and the two do not fit: no history is another
// then. Asked in the other order, whether it is current and then what there is, it could be paused in between.
//
// What is refused while events are published is in the log, whoever reads it.
func (s *session) certain(ctx context.Context, err error) error {
	if s.producer == nil || s.settled.Load() || !errors.As(err, new(*checkpoint.Refusal)) {
		return err
	}
	if now := s.producer.Current(ctx); now != nil {
		return fmt.Errorf("%w; so this is not certain: %v", now, err) //nolint:errorlint // nor is it to be found in there
	}
	return err
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
