package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// menu is what there is to order. It is asked each time: a price that was kept could be an old one.
type menu struct {
	pool *pgxpool.Pool
}

type item struct {
	ID       int64       `json:"item_id"`
	Name     string      `json:"name"`
	Category string      `json:"category"`
	Price    event.Money `json:"price"`
}

const selectMenu = `
SELECT id, name, category, price_minor, currency
FROM menu_items
ORDER BY id`

const selectItems = `
SELECT id, name, category, price_minor, currency
FROM menu_items
WHERE id = ANY($1::bigint[])`

func scanItem(row pgx.CollectableRow) (item, error) {
	var i item
	err := row.Scan(&i.ID, &i.Name, &i.Category, &i.Price.Minor, &i.Price.Currency)
	return i, err
}

// query runs one of the menu's statements. What the server did not refuse itself is its absence.
func (m menu) query(ctx context.Context, statement string, arguments ...any) ([]item, error) {
	rows, _ := m.pool.Query(ctx, statement, arguments...) // CollectRows returns its error
	items, err := pgx.CollectRows(rows, scanItem)
	pg, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		return items, nil
	case answered && pg.SeverityUnlocalized == "ERROR":
		return nil, fmt.Errorf("read the menu: %w", err)
	default:
		return nil, fmt.Errorf("read the menu: %w: %w", eventlog.ErrUnavailable, err)
	}
}

// items serves the menu.
func (a *api) items(ctx context.Context, _ *http.Request) (answer, error) {
	items, err := a.menu.query(ctx, selectMenu)
	return answer{code: http.StatusOK, body: map[string][]item{"items": items}}, err
}

// price makes order lines of positions, at the menu's prices. Its error is a problem that names each position whose item
// is not on the menu.
func (m menu) price(ctx context.Context, positions []position) ([]event.Line, error) {
	if len(positions) == 0 {
		return nil, nil // that there must be one is the order's rule
	}
	ids := make([]int64, len(positions))
	for i, p := range positions {
		ids[i] = p.ItemID
	}
	items, err := m.query(ctx, selectItems, ids)
	if err != nil {
		return nil, err
	}
	menu := make(map[int64]item, len(items))
	for _, i := range items {
		menu[i.ID] = i
	}
	lines := make([]event.Line, len(positions))
	var missing []violation
	for n, p := range positions {
		i, listed := menu[p.ItemID]
		if !listed {
			missing = append(missing, violation{fmt.Sprintf("#/lines/%d/item_id", n), "menu", fmt.Sprintf("item %d is not on the menu", p.ItemID)})
			continue
		}
		lines[n] = event.Line{ItemID: int(i.ID), Name: i.Name, Quantity: p.Quantity, UnitPrice: i.Price}
	}
	if missing != nil {
		return nil, &problem{kind: invalid, detail: missing[0].Detail, errors: missing}
	}
	return lines, nil
}
