package checkpoint

import (
	"maps"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// unchanged is what a start finds when nothing has happened since the example's checkpoint.
func unchanged() Observed {
	cp := exampleRecord()
	return Observed{
		Source: cp.Source, Cluster: cp.Cluster, Topics: cp.Topics, SlotUsable: true, SlotStatus: "reserved",
		Confirmed: cp.At.End, Flushed: cp.At.End,
	}
}

// ends are what the example's topic may be found with.
func ends(id string, last ...string) map[string]Ends {
	return map[string]Ends{"food-orders": {ID: id, Last: last}}
}

// changes close one gate each.
var changes = []struct {
	name   string
	gate   Gate
	change func(cp *Record, now *Observed)
}{
	{"another database cluster", GateSystem, func(_ *Record, now *Observed) { now.Source.SystemID = "other" }},
	{"another Kafka cluster", GateCluster, func(_ *Record, now *Observed) { now.Cluster = "other" }},
	{"topic made anew", GateTopic, func(_ *Record, now *Observed) { now.Topics = ends("other", "a", "", "c") }},
	{"a partition more", GateTopic, func(_ *Record, now *Observed) { now.Topics = ends("topic id", "a", "", "c", "") }},
	{"a timeline of another family", GateTimeline, func(_ *Record, now *Observed) { now.Source.Timeline = 4 }},
	{"a timeline that left too early", GateTimeline, func(cp *Record, now *Observed) {
		now.Source.Timeline, now.SwitchPoint = 4, cp.At.End-1
	}},
	{"a timeline that left before a transaction published in part", GateTimeline, func(cp *Record, now *Observed) {
		cp.At.Partial = &Partial{Commit: 2000, Rows: 1}
		now.Flushed = 3000
		now.Source.Timeline, now.SwitchPoint = 4, 2000
	}},
	{"slot lost", GateSlot, func(_ *Record, now *Observed) { now.SlotUsable, now.SlotStatus = false, "lost" }},
	{"slot acknowledged by another", GateAck, func(cp *Record, now *Observed) { now.Confirmed, now.Flushed = cp.At.End+1, cp.At.End+1 }},
	{"database restored", GateLog, func(cp *Record, now *Observed) { now.Confirmed, now.Flushed = cp.At.End-1, cp.At.End-1 }},
	{"database restored into a transaction published in part", GateLog, func(cp *Record, now *Observed) {
		cp.At.Partial = &Partial{Commit: 2000, Rows: 1}
		now.Flushed = 2000
	}},
	{"publication made anew", GatePublication, func(_ *Record, now *Observed) { now.Source.Publication = "other" }},
	{"event lost from the topic", GateTail, func(_ *Record, now *Observed) { now.Topics = ends("topic id", "before a", "", "c") }},
	{"all events lost from a partition", GateTail, func(_ *Record, now *Observed) { now.Topics = ends("topic id", "a", "", "") }},
	{"event of another in the topic", GateTail, func(_ *Record, now *Observed) { now.Topics = ends("topic id", "a", "b", "c") }},
	{"event lost from the second of two topics", GateTail, func(cp *Record, now *Observed) {
		cp.Topics = maps.Clone(cp.Topics)
		cp.Topics["returns"] = Ends{"id", []string{"x"}}
		now.Topics = maps.Clone(cp.Topics)
		now.Topics["returns"] = Ends{"id", []string{""}}
	}},
	{"event not in the table", GateCanary, func(_ *Record, now *Observed) { now.Missing = []string{"c"} }},
}

func TestEachChangeOfHistoryIsRefusedAtItsGate_I7(t *testing.T) {
	t.Parallel()
	closed := make(map[Gate]bool)
	for _, c := range changes {
		cp, now := exampleRecord(), unchanged()
		c.change(&cp, &now)
		closed[c.gate] = true

		refusal := Check(cp, now, nil)
		if refusal == nil || refusal.Gate != c.gate {
			t.Errorf("%s: got %v, want a refusal at %s", c.name, refusal, c.gate)
			continue
		}
		text := refusal.Error()
		for _, part := range []string{string(c.gate), "relay recover", "--open-gate " + string(c.gate)} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q does not say %q", c.name, text, part)
			}
		}

		var others []Gate
		for _, gate := range gates {
			if gate.name != c.gate {
				others = append(others, gate.name)
			}
		}
		if refusal := Check(cp, now, others); refusal == nil || refusal.Gate != c.gate {
			t.Errorf("%s, with all other gates opened: got %v", c.name, refusal)
		}
		if refusal := Check(cp, now, []Gate{c.gate}); refusal != nil {
			t.Errorf("%s, opened: got %v", c.name, refusal)
		}
	}
	for _, gate := range gates {
		if !closed[gate.name] || !Known(gate.name) {
			t.Errorf("gate %s is not tried", gate.name)
		}
	}
	if Known(GateCheckpoint) || Known("") {
		t.Error("a gate can be opened that Check does not have")
	}
}

func TestSameHistoryIsLetThrough_I7(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(cp *Record, now *Observed){
		"nothing happened":       func(*Record, *Observed) {},
		"the log went on":        func(_ *Record, now *Observed) { now.Flushed += 500 },
		"the slot fell back":     func(_ *Record, now *Observed) { now.Confirmed -= 500 },
		"the slot was never ack": func(_ *Record, now *Observed) { now.Confirmed = 0 },
		"a promotion behind the checkpoint": func(cp *Record, now *Observed) {
			now.Source.Timeline, now.SwitchPoint, now.Flushed = 4, cp.At.End, cp.At.End+1
		},
		"a promotion behind a part": func(cp *Record, now *Observed) {
			cp.At.Partial = &Partial{Commit: 2000, Rows: 1}
			now.Source.Timeline, now.SwitchPoint, now.Flushed = 4, 2001, 3000
		},
		"nothing was published yet": func(cp *Record, now *Observed) {
			cp.Topics, now.Topics = ends("topic id", "", "", ""), ends("topic id", "", "", "")
		},
	} {
		cp, now := exampleRecord(), unchanged()
		change(&cp, &now)
		if refusal := Check(cp, now, nil); refusal != nil {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}

func TestOfSeveralClosedGatesTheOneThatExplainsIsNamed_I7(t *testing.T) {
	t.Parallel()
	cp, now := exampleRecord(), Observed{} // another everything
	var open []Gate
	for range gates {
		refusal := Check(cp, now, open)
		if refusal == nil {
			break
		}
		if len(open) == 0 && refusal.Gate != GateSystem {
			t.Errorf("named %s first", refusal.Gate)
		}
		open = append(open, refusal.Gate)
	}
	if refusal := Check(cp, now, open); refusal != nil {
		t.Errorf("after opening %v: %v", open, refusal)
	}
	if len(open) < 7 {
		t.Errorf("only %v were closed", open)
	}
}

func TestReachIsBeyondTheCommitOfAPart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at   Position
		want outbox.LSN
	}{
		{Position{End: 10}, 10},
		{Position{End: 10, Partial: &Partial{Commit: 20, Rows: 1}}, 21},
		{Position{End: 10, Partial: &Partial{Commit: 10, Rows: 1}}, 11},
	} {
		if got := c.at.reach(); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.at, got, c.want)
		}
	}
}
