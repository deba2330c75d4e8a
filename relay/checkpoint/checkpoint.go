// Package checkpoint keeps the relay's position in the source database's log in Kafka, where a transaction can hold it
// together with the events that it stands for (I4).
//
// Each slot has a checkpoint topic of its own with one partition. The last committed record in it is the checkpoint: the
// topic is compacted, so that it stays small, but it is not a consumer group's offset, which would expire.
//
// The package promises that Read sees the newest checkpoint if the caller has fenced every other producer first, and that
// Check finds a source or a topic whose history is not the checkpoint's (I7). It does not write: package publish puts the
// record into the transaction.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Format is the version of the record's form. A program refuses a checkpoint of a newer form than it knows: it could not
// tell what that one promises.
const Format = 1

// Phase says what a checkpoint's position means.
type Phase string

const (
	// Loading means that rows are being published out of the outbox table itself, as at the first start and in a
	// recovery. The position means nothing yet; a relay that finds this phase begins to load anew.
	Loading Phase = "loading"
	// Streaming means that everything up to the position is in the topic.
	Streaming Phase = "streaming"
)

// Record is a checkpoint. Its JSON form is read by others too (foodctl verify): fields are added, never changed.
type Record struct {
	Format int    `json:"format"`
	Phase  Phase  `json:"phase"`
	Slot   string `json:"slot"`

	Source Source   `json:"source"`
	Target Target   `json:"target"`
	At     Position `json:"position"`

	// LastEvents has, per partition, the id of the last event in the topic; empty for none. Ids are known before the
	// broker answers, unlike offsets, so that they can be in the same transaction.
	LastEvents []string `json:"last_events"`
	Events     int64    `json:"events"` // in the topic, this transaction's included

	Reason    string    `json:"reason,omitempty"`    // why an operator loaded anew, last
	Overrides []string  `json:"overrides,omitempty"` // gates that an operator opened last, each with the reason given
	WrittenAt time.Time `json:"written_at"`
}

// Source identifies the log that a position is in.
type Source struct {
	SystemID    string `json:"system_id"`
	Timeline    int32  `json:"timeline"`
	Publication string `json:"publication"` // its fingerprint
}

// Target identifies the topic that the events are in.
type Target struct {
	ClusterID  string `json:"cluster_id"`
	Topic      string `json:"topic"`
	TopicID    string `json:"topic_id"`
	Partitions int    `json:"partitions"`
}

// Position is how far the source's log has been published.
type Position struct {
	// End is the end LSN of the last transaction that is published whole, or a later position below which there was
	// nothing to publish. It may be acknowledged (I5). A transaction whose commit LSN is below it is in the topic.
	End outbox.LSN `json:"end_lsn"`
	// Partial is the transaction above End of which some rows are published, if one was too large for one batch.
	Partial *Partial `json:"partial,omitempty"`
}

// reach is how far a log must go to hold everything that is published: up to End, and beyond the commit record of the
// transaction that is published in part.
func (p Position) reach() outbox.LSN {
	if p.Partial == nil {
		return p.End
	}
	return max(p.End, p.Partial.Commit+1)
}

// Partial is how far a transaction has been published. It is identified by its commit LSN, which BEGIN tells; its end LSN
// is not known before its COMMIT. Its rows are counted, because their LSNs do not tell them apart: all the rows of one
// COPY have the same.
type Partial struct {
	Commit outbox.LSN `json:"commit_lsn"`
	Rows   int64      `json:"rows"`
}

// Marshal returns the record's JSON form.
func (r Record) Marshal() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	return b, nil
}

// ErrNewer means that a newer relay wrote the checkpoint. ErrDamaged means that it cannot be read.
var (
	ErrNewer   = errors.New("the checkpoint is of a newer format")
	ErrDamaged = errors.New("the checkpoint is damaged")
)

// Unmarshal reads what Marshal wrote. It refuses a newer format, and a record that is not complete.
func Unmarshal(b []byte) (Record, error) {
	var version struct { // looked at first: of a newer format nothing else need be as it is here
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if version.Format > Format {
		return Record{}, fmt.Errorf("%w: it has format %d, this relay knows up to %d: run a newer relay", ErrNewer, version.Format, Format)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch {
	case r.Format < 1, r.Phase != Loading && r.Phase != Streaming, len(r.LastEvents) != r.Target.Partitions:
		return Record{}, fmt.Errorf("%w: format %d, phase %q, %d last events of %d partitions",
			ErrDamaged, r.Format, r.Phase, len(r.LastEvents), r.Target.Partitions)
	case r.At.Partial != nil && (r.At.Partial.Rows < 1 || r.At.Partial.Commit < r.At.End):
		return Record{}, fmt.Errorf("%w: %d rows of transaction %s, everything up to %s",
			ErrDamaged, r.At.Partial.Rows, r.At.Partial.Commit, r.At.End)
	}
	return r, nil
}
