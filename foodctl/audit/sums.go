package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// sums are the read model's tables in which many orders share a row, as the events say that they must be. Their size
// follows from the customers, the menu and the time that the events span, and not from the number of events.
type sums struct {
	customers map[customerKey]customerSum
	items     map[itemKey]itemSum
	minutes   map[minuteKey]minuteSum
}

type customerKey struct {
	customer int
	currency string
}

type customerSum struct {
	orders, completed, cancelled, spent, refunded, tips int64

	lastOrder int64 // microseconds since 1970
}

type itemKey struct {
	hour     int64 // seconds since 1970
	item     int
	currency string
}

type itemSum struct{ orders, quantity, revenue int64 }

type minuteKey struct {
	minute   int64 // seconds since 1970
	currency string
}

type minuteSum struct{ orders, gross, refunded, tips, cancelled int64 }

func newSums() *sums {
	return &sums{
		customers: make(map[customerKey]customerSum),
		items:     make(map[itemKey]itemSum),
		minutes:   make(map[minuteKey]minuteSum),
	}
}

// add accounts for one event, which led the order from one state to the next.
func (s *sums) add(from, to order.Order, at time.Time, data event.Data) {
	who := customerKey{to.CustomerID, to.Total.Currency}
	when := minuteKey{at.Truncate(time.Minute).Unix(), to.Total.Currency}
	customer, minute := s.customers[who], s.minutes[when]
	switch d := data.(type) {
	case event.OrderPlaced:
		customer.orders++
		customer.lastOrder = max(customer.lastOrder, at.UnixMicro())
		minute.orders++
		s.lines(to.PlacedAt, d.Lines, 1)
	case event.OrderLinesChanged:
		s.lines(to.PlacedAt, from.Lines, -1)
		s.lines(to.PlacedAt, d.Lines, 1)
	case event.OrderDelivered, event.OrderCollected:
		customer.completed++
	case event.OrderCancelled:
		customer.cancelled++
		minute.cancelled++
	case event.PaymentCaptured:
		customer.spent += d.Amount.Minor
		minute.gross += d.Amount.Minor
	case event.RefundIssued:
		customer.refunded += d.Amount.Minor
		minute.refunded += d.Amount.Minor
	case event.TipAdded:
		customer.tips += d.Amount.Minor
		minute.tips += d.Amount.Minor
	default:
		return
	}
	s.customers[who], s.minutes[when] = customer, minute
}

// lines adds an order's lines, or with -1 takes them off. An item that stands on two lines is in one order.
func (s *sums) lines(placed time.Time, lines []event.Line, sign int64) {
	hour := placed.Truncate(time.Hour).Unix()
	for i, line := range lines {
		k := itemKey{hour, line.ItemID, line.UnitPrice.Currency}
		sum := s.items[k]
		if !contains(lines[:i], line.ItemID) {
			sum.orders += sign
		}
		sum.quantity += sign * int64(line.Quantity)
		sum.revenue += sign * int64(line.Quantity) * line.UnitPrice.Minor
		s.items[k] = sum
	}
}

func contains(lines []event.Line, item int) bool {
	for _, line := range lines {
		if line.ItemID == item {
			return true
		}
	}
	return false
}

const (
	selectCustomers = `
SELECT customer_id, currency, orders, completed, cancelled, spent_minor, refunded_minor, tips_minor, last_order_at
FROM customer_stats`
	selectItems = `
SELECT hour, item_id, currency, orders, quantity, revenue_minor
FROM item_popularity`
	selectMinutes = `
SELECT minute, currency, orders, gross_minor, refunded_minor, tips_minor, cancelled
FROM revenue_minute`
)

// compare reads the three tables and judges each row. A row of zeros and no row are the same.
func (s *sums) compare(ctx context.Context, tx pgx.Tx, report *ReadModel, list *findings) error {
	customers, err := compareSums(ctx, tx, "customer_stats", selectCustomers, s.customers, list,
		func(row pgx.CollectableRow) (k customerKey, v customerSum, err error) {
			var last time.Time
			err = row.Scan(&k.customer, &k.currency, &v.orders, &v.completed, &v.cancelled, &v.spent, &v.refunded, &v.tips, &last)
			v.lastOrder = last.UnixMicro()
			return k, v, err
		})
	if err != nil {
		return err
	}
	items, err := compareSums(ctx, tx, "item_popularity", selectItems, s.items, list,
		func(row pgx.CollectableRow) (k itemKey, v itemSum, err error) {
			var hour time.Time
			err = row.Scan(&hour, &k.item, &k.currency, &v.orders, &v.quantity, &v.revenue)
			k.hour = hour.Unix()
			return k, v, err
		})
	if err != nil {
		return err
	}
	minutes, err := compareSums(ctx, tx, "revenue_minute", selectMinutes, s.minutes, list,
		func(row pgx.CollectableRow) (k minuteKey, v minuteSum, err error) {
			var minute time.Time
			err = row.Scan(&minute, &k.currency, &v.orders, &v.gross, &v.refunded, &v.tips, &v.cancelled)
			k.minute = minute.Unix()
			return k, v, err
		})
	report.Tables = append(report.Tables, customers, items, minutes)
	return err
}

// compareSums takes each row off what must be there; what is left over at the end is missing.
func compareSums[K, V comparable](
	ctx context.Context, tx pgx.Tx, name, query string, must map[K]V, list *findings,
	scan func(pgx.CollectableRow) (K, V, error),
) (Table, error) {
	table := Table{Name: name}
	wrong := func(detail string) {
		table.Wrong++
		list.add(Offender{Kind: WrongReadModel, Table: name, Detail: detail})
	}
	var zero V
	rows, _ := tx.Query(ctx, query)
	defer rows.Close()
	for rows.Next() {
		k, got, err := scan(rows)
		if err != nil {
			return table, fmt.Errorf("read %s: %w", name, err)
		}
		table.Rows++
		if got != must[k] {
			wrong(fmt.Sprintf("row %+v is %+v, must be %+v", k, got, must[k]))
		}
		delete(must, k)
	}
	for k, v := range must {
		if v != zero {
			wrong(fmt.Sprintf("row %+v is missing, must be %+v", k, v))
		}
	}
	if err := rows.Err(); err != nil {
		return table, fmt.Errorf("read %s: %w", name, err)
	}
	return table, nil
}
