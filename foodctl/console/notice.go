package console

import "fmt"

// notice marks what is another way than at the look before.
func (l *looker) notice(s *Snapshot, a *asked) {
	mark := func(kind MarkKind, format string, args ...any) {
		s.Marks = append(s.Marks, Mark{At: s.At, Kind: kind, Text: fmt.Sprintf(format, args...)})
	}
	first := l.number == 1
	if a.slot.Name != "" { // else nobody knows
		l.noticeRelays(s, a, first, mark)
	}
	if s.Kafka.Aborted > l.aborted && !first {
		mark(MarkFenced, "%s broken off", counted(s.Kafka.Aborted-l.aborted, "Kafka transaction"))
	}
	l.aborted = s.Kafka.Aborted
	l.noticeOwners(a.members, mark)
	if !a.broker != l.brokerDown {
		l.brokerDown = !a.broker
		if l.brokerDown {
			mark(MarkBrokerDown, "Kafka does not answer")
		} else {
			mark(MarkBrokerUp, "Kafka answers again")
		}
	}
}

// active is who publishes: who says so of himself, and Postgres says that the slot is held. Where no relays are known the slot's word
// is all there is.
func active(relays []Relay, slot Slot) Relay {
	switch {
	case !slot.Active:
		return Relay{}
	case len(relays) == 0:
		return Relay{Name: "a relay"}
	}
	for _, r := range relays {
		if r.Role == "active" {
			return r
		}
	}
	return Relay{}
}

func (l *looker) noticeRelays(s *Snapshot, a *asked, first bool, mark func(MarkKind, string, ...any)) {
	w := &l.relays
	now, was, last, born := active(a.relays, a.slot), w.active, w.last, w.started
	w.active = now.Name
	if now.Name != "" {
		w.last, w.started = now.Name, now.started
	}
	s.Pipe.Relay.Up = now.Name != ""
	if s.Pipe.Relay.Note = now.Name; now.Name == "" {
		s.Pipe.Relay.Note = "nobody publishes"
	}
	switch {
	case first || now.Name == "" && was == "":
	case now.Name == "":
		mark(MarkRelayDown, "%s is down", was)
	case last != "" && now.Name != last:
		l.changed, l.changedTo, l.changedText = s.At, TookOver, now.Name+" publishes in the place of "+last
		mark(MarkTakeover, "%s took over from %s", now.Name, last)
	case now.started != born && last != "":
		l.changed, l.changedTo, l.changedText = s.At, CameBack, now.Name+" had died, and goes on exactly where it was"
		mark(MarkRelayUp, "%s is back", now.Name)
	case was == "":
		mark(MarkRelayUp, "%s publishes", now.Name)
	}
}

// noticeOwners marks partitions that others have than before. A read model that could not be asked says nothing.
func (l *looker) noticeOwners(members []Member, mark func(MarkKind, string, ...any)) {
	if members == nil {
		return
	}
	owners := make(map[int32]int64, len(members))
	changed := 0
	for _, m := range members {
		owners[m.Partition] = m.Epoch
		if was, known := l.owners[m.Partition]; known && was != m.Epoch {
			changed++
		}
	}
	l.owners = owners
	if changed > 0 {
		mark(MarkRebalance, "%s claimed anew", counted(int64(changed), "partition"))
	}
}
