package console

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
)

// noon is when the scenes are played.
var noon = time.Date(2026, time.November, 28, 12, 0, 0, 0, time.UTC)

// scene is a snapshot of a system under modest traffic, all in sync, n seconds after noon.
func scene(n int64) Snapshot {
	at := noon.Add(time.Duration(n) * time.Second)
	events := 48_210 + 120*n
	return Snapshot{
		Number: n, At: at,
		Verdict: Verdict{State: InSync, Text: "all that is written is applied, or on its way", Since: noon.Add(-192 * time.Second)},
		Trouble: []string{},
		Pipe:    pipeOf(events, at),
		Pending: Pending{Events: 14, Unpublished: 6, Seconds: 0.04},
		Slot:    Slot{Name: "relay", Exists: true, Active: true, Held: 1_843_200, Safe: new(int64(10_735_575_040)), LostSeconds: new(91_540.0)},
		Latency: Latency{P50: 41, P99: 118},
		Kafka:   Kafka{Aborted: 3, Reread: 12},
		Audit:   Audit{Since: noon.Add(-37 * time.Minute), Events: events, Compared: events - 9000, Findings: []Finding{}},
		Orders:  ordersOf(n, at),
		Relays: []Relay{
			{Name: "relay", Up: true, Role: "active", PID: 10687},
			{Name: "relay-2", Up: true, Role: "standby", PID: 10688},
		},
		Members:   membersOf(events, at),
		Analytics: analyticsOf(at),
		Marks:     []Mark{},
	}
}

func pipeOf(events int64, at time.Time) Pipe {
	stage := func(count int64, rate float64, ago time.Duration, note string) Stage {
		return Stage{Count: count, Rate: rate, Last: new(at.Add(-ago)), Up: true, Note: note}
	}
	return Pipe{
		API:    stage(events/6, 20, 30*time.Millisecond, "generating 20 orders/s"),
		Outbox: stage(events, 120.4, 30*time.Millisecond, ""),
		Relay:  stage(events-6, 120.1, 90*time.Millisecond, "relay publishes"),
		Partitions: []Stage{
			stage(events/3+41, 40.2, 90*time.Millisecond, ""),
			stage(events/3-64, 39.7, 120*time.Millisecond, ""),
			stage(events/3+17, 40.5, 200*time.Millisecond, ""),
		},
		Projectors: stage(events-14, 119.8, 140*time.Millisecond, "2 members"),
		ReadModel:  stage(events-14, 119.8, 140*time.Millisecond, ""),
	}
}

// orderID is the id of the i-th order, the same in each scene.
func orderID(i int64) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("019ac9a4-9b5e-7c31-8f02-%012x", uint64(i)*0x9e3779b97f4a7c15>>16))
}

func ordersOf(n int64, at time.Time) []Order {
	types := []string{"order.placed.v1", "order.accepted.v1", "order.prepared.v1", "order.picked_up.v1", "order.delivered.v1"}
	orders := make([]Order, 0, 20)
	for i := range int64(20) {
		id := 1000 + n - i
		written := at.Add(-time.Duration(i*49+30) * time.Millisecond)
		order := Order{
			ID: orderID(id), Customer: int32(id % 97), Type: types[id%5], Version: id%5 + 1, Written: written,
			Partition: int32(id % 3), Offset: 16_100 + id,
		}
		order.Published = new(written.Add(time.Duration(12+id%17) * time.Millisecond))
		order.Applied = new(written.Add(time.Duration(31+id%29) * time.Millisecond))
		switch i {
		case 0:
			order.Published, order.Applied, order.Offset = nil, nil, -1
		case 1:
			order.Applied = nil
		}
		orders = append(orders, order)
	}
	return orders
}

// lifeOf is the life of an order of which one event is applied, and the next only written.
func lifeOf(id uuid.UUID) life.Life {
	return life.Life{
		Order: id, Customer: 7, Fulfilment: "accepted", Payment: "authorized", Version: 2, ReadModel: 1, Topic: "food-orders",
		Events: []life.Event{
			{
				Version: 1, Type: "order.placed.v1", ID: uuid.MustParse("019ac9a4-0000-7000-8000-000000000001"), At: noon.Add(time.Second), Seq: 4711,
				Commit: 0x1A2B3C4D, Last: true, Committed: noon.Add(1004 * time.Millisecond), Partition: 1, Offset: 16_204, Found: true,
				Applied: true, AppliedAt: 16_204, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
				Payload: json.RawMessage(`{"customer_id": 7, "note": "<img src=x onerror=alert(1)>"}`),
			},
			{
				Version: 2, Type: "order.accepted.v1", ID: uuid.MustParse("019ac9a4-0000-7000-8000-000000000002"), At: noon.Add(2 * time.Second), Seq: 4720,
				Partition: 1, Offset: -1, AppliedAt: -1, Payload: json.RawMessage(`{}`),
			},
		},
		Trouble: []string{},
	}
}

// halfKnown is the life of an order when the topic did not answer: what the read model says alone is known of the records.
func halfKnown(id uuid.UUID) life.Life {
	l := lifeOf(id)
	l.Trouble = []string{"topic food-orders: it did not answer in time"}
	e := &l.Events[0]
	e.Found, e.Commit, e.Committed, e.Last = false, 0, time.Time{}, false
	l.Events[1].Partition = -1
	return l
}

// replaced is the life of an order of which the read model has another event than the outbox.
func replaced(id uuid.UUID) life.Life {
	l := lifeOf(id)
	e := &l.Events[0]
	e.Applied, e.AppliedAt, e.Other = false, -1, uuid.MustParse("019ac9a4-0000-7000-8000-000000000003")
	return l
}

func membersOf(events int64, at time.Time) []Member {
	member := func(p int32, owner string) Member {
		return Member{Partition: p, Owner: owner, Epoch: 4, Next: events/3 + 812, Applied: events / 3, Updated: at}
	}
	return []Member{member(0, "kitchen/10689/1"), member(1, "kitchen/10689/1"), member(2, "kitchen/10690/1")}
}

func analyticsOf(at time.Time) Analytics {
	minutes := make([]Minute, 0, 30)
	for i := range 30 {
		orders := int64(1150 + 180*math.Sin(float64(i)/4) + float64(i*37%90))
		minutes = append(minutes, Minute{At: at.Truncate(time.Minute).Add(time.Duration(i-29) * time.Minute), Orders: orders, Minor: orders * 2843})
	}
	return Analytics{
		Currency: "EUR", Minutes: minutes,
		Items: []Item{
			{1, "Margherita", 4021, 5210}, {2, "Pad thai", 3817, 4122}, {3, "Falafel bowl", 3302, 3987}, {4, "Ramen", 2954, 3102}, {5, "Poke bowl", 2011, 2390},
		},
		Kitchen: []Kitchen{{"placed", 41}, {"accepted", 63}, {"preparing", 118}, {"ready", 22}, {"on_the_way", 87}},
	}
}

// history is what led to scene(n): five minutes in which the relay was killed and another took over.
func history(n int64) []Point {
	points := make([]Point, 0, 300)
	for number := n - 299; number <= n; number++ {
		s := scene(number)
		wave := 9 * math.Sin(float64(number)/7)
		s.Pipe.Outbox.Rate, s.Pipe.Relay.Rate, s.Pipe.ReadModel.Rate = 120+wave, 119+wave, 118+wave
		switch away := number - (n - 150); {
		case away >= 0 && away < 12:
			s.Pipe.Relay.Rate, s.Pipe.ReadModel.Rate, s.Pending.Events = 0, 0, 14+120*away
		case away >= 12 && away < 18:
			s.Pipe.Relay.Rate, s.Pipe.ReadModel.Rate, s.Pending.Events = 365, 352, 14+240*(18-away)
		}
		s.Marks = marksOf(number-(n-150), s.At)
		points = append(points, s.point())
	}
	return points
}

func marksOf(away int64, at time.Time) []Mark {
	switch away {
	case 0:
		return []Mark{{at, MarkChaos, "kill -9 10687 (relay)"}, {at, MarkRelayDown, "nobody publishes"}}
	case 12:
		return []Mark{{at, MarkTakeover, "relay-2 publishes"}, {at, MarkFenced, "a transaction of relay was broken off"}}
	case 60:
		return []Mark{{at, MarkRebalance, "projector-2 has p2"}}
	}
	return nil
}

// crowded is a scene with numbers as large as they become.
func crowded(n int64) Snapshot {
	s := scene(n)
	s.Pipe = pipeOf(123_456_789, s.At)
	for _, stage := range []*Stage{&s.Pipe.API, &s.Pipe.Outbox, &s.Pipe.Relay, &s.Pipe.Projectors, &s.Pipe.ReadModel, &s.Pipe.Partitions[1]} {
		stage.Rate, stage.Last = 12_345.6, new(s.At.Add(-3725*time.Second))
	}
	s.Pending = Pending{Events: 9_876_543, Unpublished: 9_876_543, Seconds: 3725}
	s.Slot.Held, s.Slot.Active = 987_654_321_000, false
	s.Latency = Latency{P50: 3_725_000, P99: 93_725_000}
	s.Kafka = Kafka{Aborted: 12_345, Reread: 123_456}
	s.Audit.Events, s.Audit.Compared = 123_456_789, 123_456_789
	s.Members = membersOf(123_456_789, s.At)
	return s
}

// mismatched is a scene in which the audit has found something.
func mismatched(n int64) Snapshot {
	s := scene(n)
	s.Verdict = Verdict{State: Mismatch, Text: "the topic does not hold what the outbox says: 2 duplicates, 1 missing", Since: s.At.Add(-4 * time.Second)}
	s.Audit.Duplicates, s.Audit.Missing = 2, 1
	for i, detail := range []string{"event 7 of its order came before, at offset 16190", "event 8 of its order came before, at offset 16191"} {
		s.Audit.Findings = append(s.Audit.Findings, Finding{
			Kind: "duplicates", Partition: new(int32(1)), Offset: new(int64(16_204 + i)), Order: orderID(990), Detail: detail,
		})
	}
	s.Audit.Findings = append(s.Audit.Findings, Finding{Kind: "missing", Order: orderID(991), Detail: "version 3, written 12:00:03, is not in the topic"})
	return s
}

// relayDown is a scene in which nobody publishes.
func relayDown(n int64) Snapshot {
	s := scene(n)
	s.Verdict = Verdict{State: RelayDown, Text: "312 events are safe in the outbox, and wait", Since: s.At.Add(-3 * time.Second)}
	s.Pipe.Relay.Up, s.Pipe.Relay.Rate, s.Pipe.Relay.Note = false, 0, ""
	s.Pending = Pending{Events: 312, Unpublished: 312, Seconds: 3.1}
	s.Slot.Active = false
	s.Relays[0] = Relay{Name: "relay"}
	s.Marks = []Mark{{s.At, MarkRelayDown, "nobody publishes"}}
	return s
}
