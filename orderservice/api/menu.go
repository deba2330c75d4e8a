package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/singleflight"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// menu is what there is to order.
type menu struct {
	pool  *pgxpool.Pool
	reads singleflight.Group
	kept  atomic.Pointer[prices]
}

// prices are the menu at a time.
type prices struct {
	read  time.Time
	items map[int]item
}

// fresh is how long prices are taken without asking for them again, which would be a tenth of what an order costs. A price
// that was changed is charged for a moment longer, as it is to whoever has the old menu before him.
const fresh = time.Second

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

const selectWholeMenu = `
SELECT id, name, category, price_minor, currency
FROM menu_items`

func scanItem(row pgx.CollectableRow) (item, error) {
	var i item
	err := row.Scan(&i.ID, &i.Name, &i.Category, &i.Price.Minor, &i.Price.Currency)
	return i, err
}

// query runs one of the menu's statements. What the server did not refuse itself is its absence.
func (m *menu) query(ctx context.Context, statement string, arguments ...any) ([]item, error) {
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
func (m *menu) price(ctx context.Context, positions []position) ([]event.Line, error) {
	kept, err := m.prices(ctx, time.Now().Add(-fresh))
	if err != nil {
		return nil, err
	}
	lines, missing := kept.price(positions)
	if missing == nil {
		return lines, nil
	}
	// An item may have come onto the menu a moment ago.
	if kept, err = m.prices(ctx, time.Now()); err != nil {
		return nil, err
	}
	if lines, missing = kept.price(positions); missing != nil {
		return nil, &problem{kind: invalid, detail: missing[0].Detail, errors: missing}
	}
	return lines, nil
}

// prices are the menu's as they were at a time or after it. Requests that have to read it do so together; one that joins a
// read which began too early for it reads again.
func (m *menu) prices(ctx context.Context, since time.Time) (*prices, error) {
	for {
		if kept := m.kept.Load(); kept != nil && !kept.read.Before(since) {
			return kept, nil
		}
		read := m.reads.DoChan("", func() (any, error) { return nil, m.read(context.WithoutCancel(ctx)) })
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read the menu: %w", context.Cause(ctx))
		case r := <-read:
			if r.Err != nil {
				return nil, r.Err
			}
		}
	}
}

func (m *menu) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p := &prices{read: time.Now(), items: make(map[int]item)}
	items, err := m.query(ctx, selectWholeMenu)
	if err != nil {
		return err
	}
	for _, i := range items {
		p.items[int(i.ID)] = i
	}
	m.kept.Store(p)
	return nil
}

func (p *prices) price(positions []position) (lines []event.Line, missing []violation) {
	lines = make([]event.Line, len(positions))
	for n, at := range positions {
		i, listed := p.items[at.ItemID]
		if !listed {
			missing = append(missing, violation{fmt.Sprintf("#/lines/%d/item_id", n), "menu", fmt.Sprintf("item %d is not on the menu", at.ItemID)})
			continue
		}
		lines[n] = event.Line{ItemID: at.ItemID, Name: i.Name, Quantity: at.Quantity, UnitPrice: i.Price}
	}
	return lines, missing
}
