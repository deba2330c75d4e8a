package checkpoint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Gate names a check that the relay makes before it continues from a checkpoint. Names are stable: an operator who has
// looked into a refusal names the gate to open it.
type Gate string

// The gates (I7).
const (
	GateSlot        Gate = "slot"        // the slot is there, ours and has its log
	GateCheckpoint  Gate = "checkpoint"  // a slot that exists has a checkpoint
	GateAck         Gate = "ack"         // the slot was not acknowledged above the checkpoint
	GateLog         Gate = "log"         // the log reaches up to the checkpoint
	GateSystem      Gate = "system"      // it is the same cluster
	GateTimeline    Gate = "timeline"    // its history left ours, if at all, behind the checkpoint
	GatePublication Gate = "publication" // it lets through what it did
	GateCluster     Gate = "cluster"     // it is the same Kafka cluster
	GateTopic       Gate = "topic"       // it is the same topic, with as many partitions
	GateTail        Gate = "tail"        // each partition ends in the event that the checkpoint names
	GateCanary      Gate = "canary"      // the source still has the events that were published last
)

// Known says whether Check has a gate of that name.
func Known(name Gate) bool {
	for _, gate := range gates {
		if gate.name == name {
			return true
		}
	}
	return false
}

// Refusal is the error of a closed gate. The relay must not run: it would lose events or publish them twice.
type Refusal struct {
	Gate   Gate
	Found  string // what was found, in a sentence
	Remedy string // what to do
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("refused at gate %q: %s. %s", r.Gate, r.Found, r.Remedy)
}

const (
	remedyRecover  = "If the database was restored, failed over or its slot was touched, run: relay recover --reason '...'"
	remedyAck      = "If the slot was touched or Kafka has lost records, run: relay recover --reason '...', and rebuild readers that are ahead of the topic"
	remedyTail     = "If Kafka has lost records, run: relay recover --reason '...', and rebuild the readers that had them"
	remedyTopic    = "If the topic was lost or made anew on purpose, run: relay recover --reason '...', and rebuild its readers"
	remedyOverride = "If you know why and that nothing is lost, run: relay run --open-gate %s --reason '...'"
)

// Observed is what a start found, to be held against the checkpoint.
type Observed struct {
	Source      Source
	Cluster     string          // Kafka's
	Topics      map[string]Ends // those of the checkpoint, with the last committed event of each partition
	SlotUsable  bool
	SlotStatus  string
	Confirmed   outbox.LSN // what the slot was acknowledged up to
	Flushed     outbox.LSN // the end of the server's log
	SwitchPoint outbox.LSN // where the server's history left the checkpoint's timeline; 0 if that is no ancestor
	Missing     []string   // of the checkpoint's last events, those that the outbox table does not have
}

// Check holds what was found against the checkpoint and returns the first gate that is closed, or nil. Gates in open are
// passed over.
func Check(cp Record, now Observed, open []Gate) *Refusal {
	for _, gate := range gates {
		found := gate.check(cp, now)
		if found == "" || slices.Contains(open, gate.name) {
			continue
		}
		return &Refusal{Gate: gate.name, Found: found, Remedy: gate.remedy + ". " + fmt.Sprintf(remedyOverride, gate.name)}
	}
	return nil
}

// gates are in the order in which they explain best: a different cluster fails most of the others too.
var gates = []struct {
	name   Gate
	remedy string
	check  func(cp Record, now Observed) string
}{
	{GateSystem, remedyRecover, func(cp Record, now Observed) string {
		return differ("the database cluster is %s, the checkpoint is of %s", now.Source.SystemID, cp.Source.SystemID)
	}},
	{GateCluster, remedyTopic, func(cp Record, now Observed) string {
		return differ("the Kafka cluster is %s, the checkpoint is of %s", now.Cluster, cp.Cluster)
	}},
	{GateTopic, remedyTopic, sameTopics},
	{GateTimeline, remedyRecover, timeline},
	{GateSlot, remedyRecover, func(_ Record, now Observed) string {
		if now.SlotUsable {
			return ""
		}
		return "the slot is not usable: its status is " + now.SlotStatus
	}},
	{GateAck, remedyAck, func(cp Record, now Observed) string {
		// I5 seen from the other side: nobody but the relay moves the slot, and the relay never above a checkpoint.
		return above("the slot was acknowledged up to %s, the checkpoint holds up to %s: what lies between will not be sent",
			now.Confirmed, cp.At.End)
	}},
	{GateLog, remedyRecover, func(cp Record, now Observed) string {
		return above("the checkpoint holds up to %s, the database's log ends at %s: it was restored from before", cp.At.reach(), now.Flushed)
	}},
	{GatePublication, remedyRecover, func(cp Record, now Observed) string {
		return differ("the publication's fingerprint is %s, the checkpoint is of %s", now.Source.Publication, cp.Source.Publication)
	}},
	{GateTail, remedyTail, sameEnds},
	{GateCanary, remedyRecover, func(_ Record, now Observed) string {
		if len(now.Missing) == 0 {
			return ""
		}
		return fmt.Sprintf("events %v are in the topic but not in the outbox table: the database was restored from before them", now.Missing)
	}},
}

func sameTopics(cp Record, now Observed) string {
	for _, name := range slices.Sorted(maps.Keys(cp.Topics)) {
		was := cp.Topics[name]
		is, there := now.Topics[name]
		switch {
		case !there:
			return fmt.Sprintf("topic %s of the checkpoint is not published to any more", name)
		case is.ID != was.ID:
			return fmt.Sprintf("topic %s has the id %s, the checkpoint is of %s: it was made anew", name, is.ID, was.ID)
		case len(is.Last) != len(was.Last):
			return fmt.Sprintf("topic %s has %d partitions, the checkpoint is of %d", name, len(is.Last), len(was.Last))
		}
	}
	return ""
}

func sameEnds(cp Record, now Observed) string {
	for _, name := range slices.Sorted(maps.Keys(cp.Topics)) {
		is := now.Topics[name].Last
		for p, was := range cp.Topics[name].Last {
			if p >= len(is) || is[p] != was { // fewer, where the gate topic is open
				return fmt.Sprintf("partition %d of %s ends in event %q, the checkpoint says %q: records were lost or added by another",
					p, name, slices.Concat(is, make([]string, p+1))[p], was)
			}
		}
	}
	return ""
}

func timeline(cp Record, now Observed) string {
	switch {
	case now.Source.Timeline == cp.Source.Timeline:
		return ""
	case now.SwitchPoint == 0:
		return fmt.Sprintf("the database is on timeline %d, which does not come from the checkpoint's %d", now.Source.Timeline, cp.Source.Timeline)
	case now.SwitchPoint < cp.At.reach():
		return fmt.Sprintf("timeline %d left timeline %d at %s, before the checkpoint's %s: published transactions are not in it",
			now.Source.Timeline, cp.Source.Timeline, now.SwitchPoint, cp.At.reach())
	}
	return ""
}

func differ[T comparable](format string, now, was T) string {
	if now == was {
		return ""
	}
	return fmt.Sprintf(format, now, was)
}

func above(format string, a, b outbox.LSN) string {
	if a <= b {
		return ""
	}
	return fmt.Sprintf(format, a, b)
}
