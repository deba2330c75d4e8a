package audit

import (
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Verdict is what an audit comes to.
type Verdict string

// The verdicts. Violated wins over Undecided: what was found stays found, also if something else could not be seen.
const (
	Holds     Verdict = "holds"     // every promise was checked and kept
	Violated  Verdict = "violated"  // at least one finding
	Undecided Verdict = "undecided" // no finding, but something could not be judged; Report.Undecided says what and why
)

// Report is the result of an audit. Its JSON names are stable.
type Report struct {
	Verdict    Verdict       `json:"verdict"`
	Undecided  []string      `json:"undecided"` // what could not be judged, why, and what to do next
	Notes      []string      `json:"notes"`     // what a reader of the report should know and what is no finding
	Source     Source        `json:"source"`
	Topic      Topic         `json:"topic"`
	Counts     Counts        `json:"counts"`
	Orders     Table         `json:"orders"`    // the orders table against the fold of the outbox (I1)
	Customers  Table         `json:"customers"` // those that are marked as erased, against the events that say so (I1)
	Checkpoint Checkpoint    `json:"checkpoint"`
	ReadModel  ReadModel     `json:"read_model"`
	Findings   int64         `json:"findings"`  // all of them, those that are not listed included
	Offenders  []Offender    `json:"offenders"` // the first of each kind, Config.Offenders of them at most
	Took       time.Duration `json:"took_ns"`
}

// Source is the cut: what one snapshot of the outbox table held.
type Source struct {
	Events int64      `json:"events"`
	Orders int64      `json:"orders"`
	CutAt  time.Time  `json:"cut_at"`
	CutLSN outbox.LSN `json:"cut_lsn"` // every event of the cut was committed below it
}

// Topic is what a read_committed reader found from the beginning of the topic to its end.
type Topic struct {
	Name       string      `json:"name"`
	Records    int64       `json:"records"`    // committed ones; control records are not among them
	Unique     int64       `json:"unique"`     // event ids of the source
	BeyondCut  int64       `json:"beyond_cut"` // unique ones that were committed after the cut; judged all the same
	Partitions []Partition `json:"partitions"`
}

// Partition is one partition of the topic.
type Partition struct {
	Partition int32 `json:"partition"`
	Records   int64 `json:"records"`
	End       int64 `json:"end"` // the offset up to which it was read; more than the records, control records take offsets too
}

// Counts are the findings in the topic. All must be zero.
type Counts struct {
	Duplicates int64 `json:"duplicates"`   // records beyond the first of an event id
	Missing    int64 `json:"missing"`      // events of the cut that the relay has passed and the topic lacks
	Extra      int64 `json:"extra"`        // records whose event no snapshot of the outbox has
	OutOfOrder int64 `json:"out_of_order"` // records that follow a later version of their order, and orders in more than one partition
	Mismatched int64 `json:"mismatched"`   // records that differ from their outbox row
	Torn       int64 `json:"torn"`         // source transactions whose events are not all there and numbered 0..last
	Pending    int64 `json:"pending"`      // events of the cut that have not arrived, and may yet: no finding, but undecided
}

// Table is one table against what the events say that it must hold.
type Table struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	// Wrong counts rows that differ, rows that are missing and rows that nothing accounts for.
	Wrong int64 `json:"wrong"`
}

// Checkpoint is the relay's position in Kafka against the slot and the topic (I4, I5).
type Checkpoint struct {
	Checked   bool       `json:"checked"`
	Phase     string     `json:"phase"`           // "streaming", or "loading" while the position means nothing
	Position  outbox.LSN `json:"position"`        // up to which the checkpoint says that everything is in the topic
	Confirmed outbox.LSN `json:"confirmed_flush"` // up to which Postgres was told so
	Wrong     int64      `json:"wrong"`
}

// ReadModel is the read model at the offsets that it says it reflects, in one snapshot.
type ReadModel struct {
	Checked bool    `json:"checked"`
	Applied int64   `json:"applied"` // events of the source that it reflects
	Pending int64   `json:"pending"` // events of the topic that it does not reflect yet; no finding
	Tables  []Table `json:"tables"`
}

// Kind names what an offender did.
type Kind string

// The kinds of offenders.
const (
	Duplicate       Kind = "duplicate"
	Missing         Kind = "missing"
	Extra           Kind = "extra"
	OutOfOrder      Kind = "out_of_order"
	Mismatched      Kind = "mismatched"
	Torn            Kind = "torn"
	WrongOrder      Kind = "orders"
	WrongCustomer   Kind = "customers"
	WrongCheckpoint Kind = "checkpoint"
	WrongReadModel  Kind = "read_model"
)

// Offender is one finding, with as much of its place as is known.
type Offender struct {
	Kind      Kind      `json:"kind"`
	Table     string    `json:"table,omitempty"`     // of the read model
	Partition *int32    `json:"partition,omitempty"` // in the topic
	Offset    *int64    `json:"offset,omitempty"`
	Event     uuid.UUID `json:"event_id,omitzero"`
	Order     uuid.UUID `json:"order_id,omitzero"`
	Version   int64     `json:"version,omitempty"`
	Detail    string    `json:"detail"` // what is wrong: what was found, and what must be there
}
