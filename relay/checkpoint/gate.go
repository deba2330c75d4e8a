package checkpoint

import (
	"fmt"
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
	Target      Target
	SlotUsable  bool
	SlotStatus  string
	Confirmed   outbox.LSN // what the slot was acknowledged up to
	Flushed     outbox.LSN // the end of the server's log
	SwitchPoint outbox.LSN // where the server's history left the checkpoint's timeline; 0 if that is no ancestor
	LastEvents  []string   // per partition, the last committed event in the topic
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
		return differ("the Kafka cluster is %s, the checkpoint is of %s", now.Target.ClusterID, cp.Target.ClusterID)
	}},
	{GateTopic, remedyTopic, func(cp Record, now Observed) string {
		now.Target.ClusterID = cp.Target.ClusterID // has a gate of its own
		return differ("the topic is %+v, the checkpoint is of %+v", now.Target, cp.Target)
	}},
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
	{GateTail, remedyTail, func(cp Record, now Observed) string {
		for p := range cp.LastEvents {
			if p >= len(now.LastEvents) || cp.LastEvents[p] != now.LastEvents[p] {
				return fmt.Sprintf("partition %d ends in event %q, the checkpoint says %q: records were lost or added by another",
					p, slices.Concat(now.LastEvents, make([]string, p+1))[p], cp.LastEvents[p])
			}
		}
		return ""
	}},
	{GateCanary, remedyRecover, func(_ Record, now Observed) string {
		if len(now.Missing) == 0 {
			return ""
		}
		return fmt.Sprintf("events %v are in the topic but not in the outbox table: the database was restored from before them", now.Missing)
	}},
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
