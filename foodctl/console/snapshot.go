package console

import (
	"time"

	"github.com/google/uuid"
)

// State is what a look at the whole system comes to.
type State string

// The states, the worst first: a snapshot has the first that is true.
const (
	Mismatch  State = "mismatch"   // the continuous audit has found what must not be
	Blind     State = "blind"      // a place that has to be asked does not answer
	RelayDown State = "relay_down" // nobody publishes; what is written is safe in the outbox
	TookOver  State = "took_over"  // another relay publishes than before, since a moment
	CameBack  State = "came_back"  // the relay was started again a moment ago
	Draining  State = "draining"   // more is on its way than a moment's traffic
	InSync    State = "in_sync"
	Starting  State = "starting" // the topic is still being read to where it ended when the console began
)

// Verdict is the first thing that a person reads.
type Verdict struct {
	State State     `json:"state"`
	Text  string    `json:"text"` // what else there is to say of it, in a few words
	Since time.Time `json:"since"`
}

// Snapshot is the state of a system at a moment. Its JSON names are the page's contract.
type Snapshot struct {
	Number  int64     `json:"number"` // 1, 2, 3, ... of this console's life
	At      time.Time `json:"at"`
	Verdict Verdict   `json:"verdict"`
	Trouble []string  `json:"trouble"` // what could not be read, and what to do

	Pipe    Pipe     `json:"pipe"`
	Pending Pending  `json:"pending"`
	Slot    Slot     `json:"slot"`
	Latency Latency  `json:"latency"`
	Kafka   Kafka    `json:"kafka"`
	Audit   Audit    `json:"audit"`
	Orders  []Order  `json:"orders"` // the newest first
	Relays  []Relay  `json:"relays"`
	Members []Member `json:"members"` // by partition

	Analytics Analytics `json:"analytics"`
	Marks     []Mark    `json:"marks"` // what has happened since the snapshot before
}

// Stage is a place that events go through.
type Stage struct {
	Count int64      `json:"count"` // events that have got there, or orders for the API
	Rate  float64    `json:"rate"`  // a second, of the last seconds
	Last  *time.Time `json:"last"`  // when the newest one came; null: none yet
	Up    bool       `json:"up"`
	Note  string     `json:"note,omitempty"` // such as who publishes
}

// Pipe is an event's way.
type Pipe struct {
	API        Stage   `json:"api"` // orders that were placed
	Outbox     Stage   `json:"outbox"`
	Relay      Stage   `json:"relay"`
	Partitions []Stage `json:"partitions"` // of the topic, by number
	Projectors Stage   `json:"projectors"`
	ReadModel  Stage   `json:"read_model"`
}

// Pending is what is written and not yet applied.
type Pending struct {
	Events      int64   `json:"events"`
	Unpublished int64   `json:"unpublished"` // of them, not in the topic
	Seconds     float64 `json:"seconds"`     // age of the oldest that is not in the topic; 0: none
}

// Slot is the relay's replication slot, and the log that Postgres keeps for it.
type Slot struct {
	Name        string   `json:"name"`
	Exists      bool     `json:"exists"`
	Active      bool     `json:"active"` // a relay holds it
	Lost        bool     `json:"lost"`
	Held        int64    `json:"held_bytes"`
	Safe        *int64   `json:"safe_bytes"`   // that may yet be written before it can be lost; null: without limit
	LostSeconds *float64 `json:"lost_seconds"` // the same in time, at the rate of the last minute; null: not known
}

// Latency is from the order's commit to its event in the read model, of the last ten seconds, in milliseconds; 0: nothing came.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

// Kafka is what readers do not see.
type Kafka struct {
	Aborted int64 `json:"aborted_transactions"`        // in the topic, since the console began to look
	Reread  int64 `json:"source_transactions_dropped"` // read again after a restart and dropped as published, of the relays that run
}

// Audit is what the console has counted itself. Everything but the two totals must be 0.
type Audit struct {
	Since      time.Time `json:"since"`    // when the console began, or the topic was made anew
	Events     int64     `json:"events"`   // in the topic, from its beginning: duplicates and missing ones are counted over all
	Compared   int64     `json:"compared"` // with their rows and predecessors, since the console began
	Left       int64     `json:"left"`     // comparisons that it had no room for: foodctl verify makes them
	Duplicates int64     `json:"duplicates"`
	Missing    int64     `json:"missing"`     // rows that the relay has passed and the topic lacks
	Holes      int64     `json:"holes"`       // events that came before the one that they follow in their order
	Foreign    int64     `json:"foreign"`     // records that are no event of the outbox
	Mismatched int64     `json:"mismatched"`  // records that differ from their row
	Unapplied  int64     `json:"not_applied"` // events that the read model says it has passed and does not have
	Findings   []Finding `json:"findings"`    // the first of them
}

// Finding is something that must not be.
type Finding struct {
	Kind      string    `json:"kind"` // a name of Audit's counts, such as "duplicates"
	Partition *int32    `json:"partition,omitempty"`
	Offset    *int64    `json:"offset,omitempty"`
	Order     uuid.UUID `json:"order_id,omitzero"`
	Detail    string    `json:"detail"`
}

// Order is one of the newest orders, at its newest event.
type Order struct {
	ID        uuid.UUID  `json:"id"`
	Customer  int32      `json:"customer_id,omitempty"`
	Type      string     `json:"type"` // of the newest event, such as "order.accepted.v1"
	Version   int64      `json:"version"`
	Written   time.Time  `json:"written"`             // its commit in Postgres
	Published *time.Time `json:"published,omitempty"` // when a read_committed reader, the console, got it
	Applied   *time.Time `json:"applied,omitempty"`   // when the read model was seen to get it, if somebody looked then
	Done      bool       `json:"done"`                // the read model has it
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"` // -1: not published
}

// Relay is a relay and what it does.
type Relay struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
	Role string `json:"role"` // "active", "standby", "paused", "starting"; "" if it does not answer
	PID  int    `json:"pid,omitempty"`

	started float64 // when its process began, in seconds since 1970; 0: not known
}

// Member is who has a partition in the read model.
type Member struct {
	Partition int32     `json:"partition"`
	Owner     string    `json:"owner"` // host/pid/member
	Epoch     int64     `json:"epoch"`
	Next      int64     `json:"next_offset"`
	Applied   int64     `json:"applied_events"`
	Updated   time.Time `json:"updated_at"`
}

// Analytics are sums of the read model.
type Analytics struct {
	Currency string    `json:"currency"`
	Minutes  []Minute  `json:"minutes"` // the last half hour, the oldest first
	Items    []Item    `json:"items"`   // the most ordered of the last hours
	Kitchen  []Kitchen `json:"kitchen"` // orders by state
}

// Minute is what came in then.
type Minute struct {
	At     time.Time `json:"at"`
	Orders int64     `json:"orders"`
	Minor  int64     `json:"gross_minor"`
}

// Item is a dish.
type Item struct {
	ID       int32  `json:"item_id"`
	Name     string `json:"name"`
	Orders   int64  `json:"orders"`
	Quantity int64  `json:"quantity"`
}

// Kitchen is how many orders are in a state of the kitchen.
type Kitchen struct {
	State  string `json:"state"`
	Orders int64  `json:"orders"`
}

// MarkKind is something that the chart marks.
type MarkKind string

// The kinds of marks.
const (
	MarkRelayDown  MarkKind = "relay_down"
	MarkRelayUp    MarkKind = "relay_up"
	MarkTakeover   MarkKind = "takeover"
	MarkFenced     MarkKind = "fenced"    // a Kafka transaction was broken off
	MarkRebalance  MarkKind = "rebalance" // partitions have other owners
	MarkBrokerDown MarkKind = "broker_down"
	MarkBrokerUp   MarkKind = "broker_up"
	MarkChaos      MarkKind = "chaos" // somebody broke something from here
)

// Mark is a moment that explains the curves.
type Mark struct {
	At   time.Time `json:"at"`
	Kind MarkKind  `json:"kind"`
	Text string    `json:"text"`
}

// Point is what the chart has of a snapshot.
type Point struct {
	Number    int64     `json:"number"`
	At        time.Time `json:"at"`
	Pending   int64     `json:"pending"`
	Written   float64   `json:"written"` // events a second
	Published float64   `json:"published"`
	Applied   float64   `json:"applied"`
	Marks     []Mark    `json:"marks,omitempty"`
}

// point is the snapshot's.
func (s *Snapshot) point() Point {
	return Point{
		Number: s.Number, At: s.At, Pending: s.Pending.Events,
		Written: s.Pipe.Outbox.Rate, Published: s.Pipe.Relay.Rate, Applied: s.Pipe.ReadModel.Rate, Marks: s.Marks,
	}
}
