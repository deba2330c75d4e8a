package console

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// sumsEvery is how often the sums of the read model are read: they cost more than the rest.
const sumsEvery = 5 * time.Second

const selectMinutes = `
SELECT minute, sum(orders)::bigint, sum(gross_minor)::bigint
FROM revenue_minute
WHERE minute >= now() - interval '30 min'
GROUP BY minute
ORDER BY minute`

const selectItems = `
SELECT item_id, '', sum(orders)::bigint, sum(quantity)::bigint
FROM item_popularity
WHERE hour >= now() - interval '24 h'
GROUP BY item_id
ORDER BY 4 DESC, 1
LIMIT 8`

const selectKitchen = `
SELECT s.state, count(b.order_id)
FROM unnest(ARRAY['accepted', 'preparing', 'ready']) WITH ORDINALITY AS s (state, n)
LEFT JOIN kitchen_board AS b ON b.state = s.state
GROUP BY s.state, s.n
ORDER BY s.n`

// sums reads them if they are old.
func (c *Console) sums(ctx context.Context) (Analytics, error) {
	l := &c.looker
	if time.Since(l.analyticsAt) < sumsEvery {
		return l.analytics, nil
	}
	if err := c.readMenu(ctx); err != nil {
		return l.analytics, err
	}
	a := Analytics{Currency: l.currency}
	var err error
	rows, _ := c.readModel.Query(ctx, selectMinutes)
	if a.Minutes, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Minute]); err == nil {
		rows, _ = c.readModel.Query(ctx, selectItems)
		a.Items, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Item])
	}
	if err == nil {
		rows, _ = c.readModel.Query(ctx, selectKitchen)
		a.Kitchen, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Kitchen])
	}
	if err != nil {
		return l.analytics, fmt.Errorf("read model's database: its sums: %w", err)
	}
	for i := range a.Items {
		a.Items[i].Name = l.menu[a.Items[i].ID]
	}
	l.analytics, l.analyticsAt = a, time.Now()
	return a, nil
}

// readMenu reads the dishes' names, once: they do not change.
func (c *Console) readMenu(ctx context.Context) error {
	l := &c.looker
	if l.menu != nil {
		return nil
	}
	menu := make(map[int32]string)
	var id int32
	var name string
	rows, _ := c.orders.Query(ctx, `SELECT id, name, currency FROM menu_items`) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&id, &name, &l.currency}, func() error {
		menu[id] = name
		return nil
	})
	if err != nil {
		return fmt.Errorf("orders database: the menu: %w", err)
	}
	l.menu = menu
	return nil
}
