package viewtest

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Folded is the oracle: each table from its definition, by going over the whole history of an order at a time. It shares
// nothing with the fold that it judges.
func Folded(events []Event) Tables {
	want := Tables{}
	for table := range queries {
		want[table] = []string{}
	}
	histories := make(map[uuid.UUID][]Event)
	for _, e := range events {
		histories[e.Order] = append(histories[e.Order], e)
		want["order_timeline"] = append(want["order_timeline"], Line(e.Order, e.Version, e.ID, e.Type, e.At, string(e.Payload)))
	}
	sums := newSums()
	for _, mine := range histories {
		if _, erased := mine[0].Data.(event.CustomerErased); !erased {
			foldOrder(mine, want, sums)
		}
	}
	sums.into(want)
	for table := range queries {
		slices.Sort(want[table])
	}
	return want
}

type sums struct {
	customers map[string]*[6]int64
	newest    map[string]time.Time
	items     map[string]*[3]int64
	minutes   map[string]*[5]int64
}

func newSums() *sums {
	return &sums{map[string]*[6]int64{}, map[string]time.Time{}, map[string]*[3]int64{}, map[string]*[5]int64{}}
}

func (s *sums) into(want Tables) {
	for k, v := range s.customers {
		want["customer_stats"] = append(want["customer_stats"], k+Line(v[0], v[1], v[2], v[3], v[4], v[5], s.newest[k]))
	}
	for k, v := range s.items {
		want["item_popularity"] = append(want["item_popularity"], k+Line(v[0], v[1], v[2]))
	}
	for k, v := range s.minutes {
		want["revenue_minute"] = append(want["revenue_minute"], k+Line(v[0], v[1], v[2], v[3], v[4]))
	}
}

func at[V any](m map[string]*V, key string) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}

func foldOrder(mine []Event, want Tables, s *sums) {
	first := mine[0].Data.(event.OrderPlaced)
	currency, placedAt := first.Total.Currency, mine[0].At
	customerKey := Line(first.CustomerID, currency)
	customer := at(s.customers, customerKey)
	if placedAt.After(s.newest[customerKey]) {
		s.newest[customerKey] = placedAt
	}
	count := func(lines []event.Line, sign int64) {
		seen := map[int]int64{}
		for _, l := range lines {
			i := at(s.items, Line(placedAt.Truncate(time.Hour), l.ItemID, currency))
			i[0] += sign * (1 - seen[l.ItemID])
			seen[l.ItemID] = 1
			i[1] += sign * int64(l.Quantity)
			i[2] += sign * int64(l.Quantity) * l.UnitPrice.Minor
		}
	}
	fulfilment, payment, lines, rating := "placed", "none", first.Lines, -1
	var total, gross, back, tips int64 = first.Total.Minor, 0, 0, 0
	var promised, since time.Time
	for _, e := range mine {
		minute := func() *[5]int64 { return at(s.minutes, Line(e.At.Truncate(time.Minute), currency)) }
		switch d := e.Data.(type) {
		case event.OrderPlaced:
			customer[0]++
			minute()[0]++
			count(d.Lines, 1)
		case event.PaymentAuthorized:
			fulfilment, payment = "confirmed", "authorized"
		case event.PaymentFailed:
			payment = "failed"
		case event.PaymentCaptured:
			payment, gross = "captured", gross+d.Amount.Minor
			customer[3] += d.Amount.Minor
			minute()[1] += d.Amount.Minor
		case event.PaymentVoided:
			payment = "voided"
		case event.OrderAccepted:
			fulfilment, promised, since = "accepted", d.ReadyAt.Truncate(time.Microsecond), e.At
		case event.OrderRejected:
			fulfilment = "rejected"
		case event.OrderLinesChanged:
			count(lines, -1)
			count(d.Lines, 1)
			lines, total = d.Lines, d.Total.Minor
		case event.PreparationStarted:
			fulfilment, since = "preparing", e.At
		case event.OrderReady:
			fulfilment, since = "ready", e.At
		case event.OrderDispatched:
			fulfilment = "in_delivery"
		case event.OrderCollected, event.OrderDelivered:
			fulfilment = "completed"
			customer[1]++
		case event.DeliveryFailed:
			fulfilment = "delivery_failed"
		case event.OrderCancelled:
			fulfilment = "cancelled"
			customer[2]++
			minute()[4]++
		case event.OrderExpired:
			fulfilment = "expired"
		case event.RefundIssued:
			back += d.Amount.Minor
			payment = "partially_refunded"
			if back >= gross {
				payment = "refunded"
			}
			customer[4] += d.Amount.Minor
			minute()[2] += d.Amount.Minor
		case event.TipAdded:
			tips += d.Amount.Minor
			customer[5] += d.Amount.Minor
			minute()[3] += d.Amount.Minor
		case event.OrderRated:
			rating = d.Stars
		}
	}
	last := mine[len(mine)-1]
	encoded, _ := json.Marshal(lines)
	want["order_summary"] = append(want["order_summary"], Line(last.Order, first.CustomerID, first.Service, fulfilment, payment,
		last.Version, total, gross, back, tips, currency, string(encoded), rating, placedAt, last.At))
	if fulfilment == "accepted" || fulfilment == "preparing" || fulfilment == "ready" {
		n := 0
		for _, l := range lines {
			n += l.Quantity
		}
		want["kitchen_board"] = append(want["kitchen_board"], Line(last.Order, fulfilment, n, promised, since))
	}
}
