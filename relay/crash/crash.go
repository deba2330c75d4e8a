// Package crash names the moments between two steps of the relay at which a crash is most telling, and a program built with the
// tag crashpoints dies there, or comes to another harm. Without the tag a point costs nothing and can do nothing.
//
// It exists for the tests that hit the relay inside a window too short to be met by chance, and count the hits.
package crash

// Point is a moment in the relay's work.
type Point string

// Harm is what happens to the process at a point.
type Harm string

// The harms.
const (
	Kill  Harm = "kill"  // it is gone
	Pause Harm = "pause" // it stands still until somebody sends SIGCONT
	Cut   Harm = "cut"   // each of its connections is broken, which is an error wherever it is used next
)

// The points, in the order in which a relay passes them.
const (
	Locked     Point = "locked"      // holds the slot, has not fenced its predecessor
	Fenced     Point = "fenced"      // has fenced it, has not read the checkpoint
	Restored   Point = "restored"    // has read the checkpoint, has not checked it
	Opened     Point = "opened"      // has passed all gates, has published nothing
	Announced  Point = "announced"   // a load is recorded, its slot is not made
	SlotMade   Point = "slot_made"   // its slot is made, nothing is loaded
	Loaded     Point = "loaded"      // a batch of it is committed
	LoadEnded  Point = "load_ended"  // everything is loaded, the checkpoint still says that a load runs
	Produced   Point = "produced"    // records of a transaction are with the client or the broker
	SplitOpen  Point = "split_open"  // part of a split source transaction is committed
	Flushed    Point = "flushed"     // the broker has all records of the transaction, checkpoint included
	Committed  Point = "committed"   // the transaction is committed, Postgres does not know
	Confirmed  Point = "confirmed"   // Postgres may know
	IdleBefore Point = "idle_before" // an idle checkpoint is about to be written
)

// Points are all of them.
var Points = []Point{
	Locked, Fenced, Restored, Opened, Announced, SlotMade, Loaded, LoadEnded,
	Produced, SplitOpen, Flushed, Committed, Confirmed, IdleBefore,
}
