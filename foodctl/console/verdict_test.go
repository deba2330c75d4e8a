package console

import (
	"strings"
	"testing"
	"time"
)

func TestTheVerdictIsTheWorstThatIsTrue(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	sound := func(change func(*Snapshot, *looker)) (*Snapshot, *looker) {
		s := &Snapshot{At: now, Pipe: Pipe{Outbox: Stage{Rate: 80}}, Pending: Pending{Events: 7}}
		l := &looker{relays: relayWatch{active: "relay", last: "relay"}}
		change(s, l)
		return s, l
	}
	for name, tt := range map[string]struct {
		change  func(*Snapshot, *looker)
		waiting int64
		want    State
		text    string
	}{
		"sound":     {func(*Snapshot, *looker) {}, 0, InSync, "every order is in the topic"},
		"some more": {func(s *Snapshot, _ *looker) { s.Pending.Events = 150 }, 0, InSync, "every order is in the topic"},
		"backlog":   {func(s *Snapshot, _ *looker) { s.Pending.Events = 161 }, 0, Draining, "161 events on the way"},
		"old":       {func(s *Snapshot, _ *looker) { s.Pending = Pending{Events: 1, Unpublished: 1, Seconds: 2} }, 0, Draining, "1 event on the way"},
		"nobody":    {func(_ *Snapshot, l *looker) { l.relays.active = "" }, 0, RelayDown, "new orders are safe"},
		"down": {func(s *Snapshot, l *looker) {
			l.relays.active, s.Pending.Unpublished = "", 300
		}, 41, RelayDown, "41 orders are safe in the outbox"},
		"down for long": {func(s *Snapshot, l *looker) {
			l.relays.active, s.Pending.Unpublished = "", 300_000
		}, -1, RelayDown, "300000 events are safe"},
		"another": {func(_ *Snapshot, l *looker) {
			l.changed, l.changedTo, l.changedText = now.Add(-time.Second), TookOver, "relay-2 publishes"
		}, 0, TookOver, "relay-2 publishes"},
		"another once": {func(_ *Snapshot, l *looker) { l.changed, l.changedText = now.Add(-time.Minute), "relay-2 publishes" }, 0, InSync, "every order is in the topic"},
		"blind": {func(s *Snapshot, l *looker) {
			s.Trouble, l.relays.active = []string{"the database is away"}, ""
		}, 0, Blind, "the database is away"},
		"duplicate": {func(s *Snapshot, l *looker) {
			s.Audit.Duplicates, s.Audit.Missing, s.Trouble, l.relays.active = 2, 1, []string{"away"}, ""
		}, 0, Mismatch, "2 duplicate, 1 missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l := sound(tt.change)
			l.judge(s, true, tt.waiting)
			if s.Verdict.State != tt.want || !strings.Contains(s.Verdict.Text, tt.text) {
				t.Errorf("got %s, %q; want %s that says %q", s.Verdict.State, s.Verdict.Text, tt.want, tt.text)
			}
		})
	}
}

func TestAVerdictIsOfTheTimeWhenItBegan(t *testing.T) {
	t.Parallel()
	l := &looker{relays: relayWatch{active: "relay"}}
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for i, want := range []time.Time{at, at, at.Add(2 * time.Second)} {
		s := &Snapshot{At: at.Add(time.Duration(i) * time.Second)}
		if i == 2 {
			s.Pending.Seconds = 9
		}
		if l.judge(s, true, 0); !s.Verdict.Since.Equal(want) {
			t.Errorf("verdict %d, %s, is since %s, want %s", i, s.Verdict.State, s.Verdict.Since, want)
		}
	}
}

func TestWhatHasChangedIsMarked(t *testing.T) {
	t.Parallel()
	held := Slot{Name: "slot", Active: true}
	up := func(roles ...string) (relays []Relay) {
		for i, role := range roles {
			relays = append(relays, Relay{Name: []string{"relay", "relay-2"}[i], Up: role != "", Role: role})
		}
		return relays
	}
	born := func(relays []Relay, at float64) []Relay {
		for i := range relays {
			relays[i].started = at
		}
		return relays
	}
	var l looker
	for i, step := range []struct {
		a       asked
		aborted int64
		want    []MarkKind
	}{
		{asked{slot: held, relays: up("active", "standby"), members: []Member{{Partition: 0, Epoch: 4}}, broker: true}, 3, nil},
		{asked{slot: held, relays: up("active", "standby"), members: []Member{{Partition: 0, Epoch: 4}}, broker: true}, 3, nil},
		{asked{slot: Slot{Name: "slot"}, relays: up("", "standby"), members: nil, broker: true}, 3, []MarkKind{MarkRelayDown}},
		{asked{slot: held, relays: up("", "active"), members: []Member{{Partition: 0, Epoch: 5}}, broker: true}, 4, []MarkKind{MarkTakeover, MarkFenced, MarkRebalance}},
		{asked{slot: Slot{}, relays: up("", "active"), broker: false}, 4, []MarkKind{MarkBrokerDown}}, // the database does not answer: of the slot nothing is known
		{asked{slot: held, relays: up("standby", "active"), broker: true}, 4, []MarkKind{MarkBrokerUp}},
		{asked{slot: Slot{Name: "slot"}, relays: up("standby", ""), broker: true}, 4, []MarkKind{MarkRelayDown}},
		{asked{slot: held, relays: up("standby", "active"), broker: true}, 4, []MarkKind{MarkRelayUp}},
		{asked{slot: held, relays: born(up("standby", "active"), 7), broker: true}, 4, []MarkKind{MarkRelayUp}}, // died and came back between two looks
	} {
		l.number++
		s := &Snapshot{Kafka: Kafka{Aborted: step.aborted}}
		l.notice(s, &step.a)
		var got []MarkKind
		for _, m := range s.Marks {
			got = append(got, m.Kind)
		}
		if len(got) != len(step.want) {
			t.Fatalf("look %d: marks %v, want %v", i, got, step.want)
		}
		for j := range got {
			if got[j] != step.want[j] {
				t.Errorf("look %d: marks %v, want %v", i, got, step.want)
			}
		}
	}
}
