package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// erase erases a customer as orderservice does.
func (w *world) erase(id int) {
	w.t.Helper()
	e, err := event.New(event.CustomerKey(id), 1, time.Now(), event.CustomerErased{CustomerID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	b := &pgx.Batch{}
	b.Queue(`UPDATE customers SET erased_at = $2 WHERE id = $1`, id, e.At)
	b.Queue(`DELETE FROM customer_details WHERE customer_id = $1`, id)
	if _, err := outbox.Queue(b, []event.Event{e}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.orders.SendBatch(w.t.Context(), b).Close(); err != nil {
		w.t.Fatal(err)
	}
}

// erased is a pipeline in which all is right, customers among its orders.
func erased(t *testing.T) *world {
	t.Helper()
	w := newWorld(t).withSlot().withModel()
	w.live(8)
	w.erase(3)
	w.live(8)
	w.erase(90)
	w.publish(w.unpublished())
	w.project()
	return w
}

func TestErasuresHoldLikeAnyOtherEvents(t *testing.T) {
	t.Parallel()
	r := erased(t).audit()
	if r.Verdict != audit.Holds || r.Customers.Rows != 2 || r.Source.Orders != 16 || r.ReadModel.Applied != r.Source.Events || r.ReadModel.Pending != 0 {
		show(t, r)
		t.Errorf("%s, %d customers, %d orders; want holds, 2 and 16", r.Verdict, r.Customers.Rows, r.Source.Orders)
	}
}

func TestFindsWhatIsWrongAboutAnErasure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inModel bool
		change  string
		kind    audit.Kind
		detail  string
	}{
		"another time":   {false, `UPDATE customers SET erased_at = now() + interval '1 hour' WHERE id = 3`, audit.WrongCustomer, "was erased at"},
		"details":        {false, `INSERT INTO customer_details VALUES (3, 'a', 'b', 'c')`, audit.WrongCustomer, "there are details"},
		"no mark":        {false, `UPDATE customers SET erased_at = NULL WHERE id = 3`, audit.WrongCustomer, "no customer with this key"},
		"no event":       {false, `UPDATE customers SET erased_at = now() WHERE id = 4`, audit.WrongCustomer, "no event says so"},
		"not applied":    {true, `DELETE FROM order_timeline WHERE type = 'customer.erased.v1' AND order_id = '` + event.CustomerKey(3).String() + `'`, audit.WrongReadModel, "row is missing"},
		"no such event":  {true, `INSERT INTO order_timeline SELECT gen_random_uuid(), version, gen_random_uuid(), type, at FROM order_timeline WHERE type = 'customer.erased.v1' LIMIT 1`, audit.WrongReadModel, "accounts for this row"},
		"an order of it": {true, `UPDATE order_summary SET order_id = '` + event.CustomerKey(3).String() + `' WHERE order_id = (SELECT min(order_id::text)::uuid FROM order_summary)`, audit.WrongReadModel, "accounts for this row"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := erased(t)
			conn := w.orders
			if c.inModel {
				conn = w.model
			}
			exec(t, conn, c.change)
			r := w.audit()
			found := false
			for _, o := range r.Offenders {
				found = found || o.Kind == c.kind && strings.Contains(o.Detail, c.detail)
			}
			if r.Verdict != audit.Violated || !found {
				show(t, r)
				t.Errorf("got %s, want a finding %s: %s", r.Verdict, c.kind, c.detail)
			}
		})
	}
}
