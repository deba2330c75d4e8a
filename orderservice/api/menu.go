package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
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
	Category string      `json:"category" enum:"starter,main,side,dessert,drink"`
	Price    event.Money `json:"price"`
}

const selectMenu = `
SELECT id, name, category, price_minor, currency
FROM menu_items
WHERE id > $1
ORDER BY id
LIMIT $2`

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

type menuShown struct {
	Link string `header:"Link" doc:"Where the next page is; absent on the last one."`
	Body struct {
		Items []item `json:"items"`
	} `nameHint:"Menu"`
}

func (a *api) registerMenu() {
	register(a, huma.Operation{
		OperationID: "get-menu", Method: http.MethodGet, Path: "/v1/menu", Tags: []string{"menu"},
		Summary: "Look at the menu", Errors: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable},
	}, a.items)
}

// items serves GET /v1/menu.
func (a *api) items(ctx context.Context, in *struct {
	After int64 `query:"after" minimum:"0" maximum:"2147483647" doc:"Begin behind this item."`
	Page
},
) (*menuShown, error) {
	items, err := a.menu.query(ctx, selectMenu, in.After, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := new(menuShown)
	if len(items) > in.Limit {
		items = items[:in.Limit]
		out.Link = in.next(ctx, items[in.Limit-1].ID)
	}
	out.Body.Items = items
	return out, nil
}

// price makes order lines of positions, at the menu's prices. Its error is a problem that names each position whose item
// is not on the menu.
func (m menu) price(ctx context.Context, positions []position) ([]event.Line, error) {
	ids := make([]int, len(positions))
	for i, p := range positions {
		ids[i] = p.ItemID
	}
	items, err := m.query(ctx, selectItems, ids)
	if err != nil {
		return nil, err
	}
	menu := make(map[int]item, len(items))
	for _, i := range items {
		menu[int(i.ID)] = i
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
