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
	"maps"
	"slices"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// The versions of the record's form: of a relay that publishes to one topic, and of one that does to several. A program
// refuses a checkpoint of a newer form than it knows: it could not tell what that one promises.
const (
	Format       = 1
	FormatRouted = 2
)

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
	Format int
	Phase  Phase
	Slot   string

	Source  Source
	Cluster string // the id of the Kafka cluster
	Topics  map[string]Ends
	At      Position

	Events int64 // in the topics, this transaction's included

	Reason    string   // why an operator loaded anew, last
	Overrides []string // gates that an operator opened last, each with the reason given
	WrittenAt time.Time
}

// Ends is a topic that events are in, and what it ends in.
type Ends struct {
	ID string `json:"topic_id"`
	// Last has, per partition, the id of the last event; empty for none. Ids are known before the broker answers, unlike
	// offsets, so that they can be in the same transaction.
	Last []string `json:"last_events"`
}

// Equal says whether they are the same.
func (e Ends) Equal(other Ends) bool { return e.ID == other.ID && slices.Equal(e.Last, other.Last) }

// Last returns the ids of the last events of all partitions that have any.
func (r Record) Last() (ids []string) {
	for _, name := range slices.Sorted(maps.Keys(r.Topics)) {
		for _, id := range r.Topics[name].Last {
			if id != "" {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// Source identifies the log that a position is in.
type Source struct {
	SystemID    string `json:"system_id"`
	Timeline    int32  `json:"timeline"`
	Publication string `json:"publication"` // its fingerprint
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
