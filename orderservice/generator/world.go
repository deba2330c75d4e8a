package generator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// world is who orders and what there is to order, the most eager customer and the most popular item first.
type world struct {
	seed      uint64
	customers []int
	menu      []event.Line // with quantity 0
}

const (
	selectCustomers = `
SELECT id
FROM customers
WHERE erased_at IS NULL
ORDER BY id`

	selectMenu = `
SELECT id, name, price_minor, currency
FROM menu_items
ORDER BY id`
)

// errEmpty is returned when nobody can order anything.
var errEmpty = errors.New("the orders database has no customers or no menu: run foodctl migrate")

func readWorld(ctx context.Context, pool *pgxpool.Pool, seed uint64) (world, error) {
	w := world{seed: seed}
	rows, _ := pool.Query(ctx, selectCustomers) // CollectRows returns its error
	customers, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return world{}, fmt.Errorf("customers: %w", err)
	}
	rows, _ = pool.Query(ctx, selectMenu)
	menu, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l event.Line, err error) {
		err = row.Scan(&l.ItemID, &l.Name, &l.UnitPrice.Minor, &l.UnitPrice.Currency)
		return l, err
	})
	if err != nil {
		return world{}, fmt.Errorf("menu: %w", err)
	}
	if len(customers) == 0 || len(menu) == 0 {
		return world{}, errEmpty
	}
	w.customers, w.menu = customers, menu
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(w.customers), func(i, j int) { w.customers[i], w.customers[j] = w.customers[j], w.customers[i] })
	r.Shuffle(len(w.menu), func(i, j int) { w.menu[i], w.menu[j] = w.menu[j], w.menu[i] })
	return w, nil
}

// skew is the exponent of the Zipf distributions: with it the first of 100 customers places about a fifth of the orders,
// so that there are hot rows, as there are in life.
const skew = 1.1

func (g *generator) customer(r *rand.Rand) int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.world.customers[rank(r, len(g.world.customers))]
}

// forget leaves a customer out who was erased. It returns errEmpty for the last one.
func (g *generator) forget(customer int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(g.world.customers), func(id int) bool { return id == customer })
	if len(left) == 0 {
		return errEmpty
	}
	g.world.customers = left
	return nil
}

// cart returns one to five lines of different items in one currency. A copy of w would read the customers, which
// forget changes under its lock.
func (w *world) cart(r *rand.Rand) []event.Line {
	var lines []event.Line
	chosen := make(map[int]bool)
	for range 1 + r.IntN(5) {
		l := w.menu[rank(r, len(w.menu))]
		l.Quantity = 1 + rank(r, 4)
		if chosen[l.ItemID] || len(lines) > 0 && l.UnitPrice.Currency != lines[0].UnitPrice.Currency {
			continue
		}
		chosen[l.ItemID] = true
		lines = append(lines, l)
	}
	return lines
}

// rank returns a number below n, 0 the most often.
func rank(r *rand.Rand, n int) int {
	return int(rand.NewZipf(r, skew, 1, uint64(n-1)).Uint64())
}

const countPlaced = `
SELECT count(*)
FROM outbox
WHERE version = 1
  AND aggregatetype = 'order'
  AND headers ->> 'correlation_id' = $1`

// countRun returns how many orders the run has placed in earlier processes.
func countRun(ctx context.Context, pool *pgxpool.Pool, run string) (n int64, err error) {
	if run == "" {
		return 0, nil
	}
	if err := pool.QueryRow(ctx, countPlaced, run).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the orders of run %q: %w", run, err)
	}
	return n, nil
}

// An order is left open if it has not ended, or a refund is not answered.
const selectOpen = `
SELECT o.id
FROM orders o
JOIN outbox e ON e.aggregateid = o.id AND e.version = 1
WHERE (o.fulfilment IN ('placed', 'confirmed', 'accepted', 'preparing', 'ready', 'in_delivery')
       OR o.state -> 'open_refund' IS NOT NULL)
  AND e.headers ->> 'actor' = '` + actor + `'
ORDER BY o.placed_at
LIMIT $1`

// leftOpen returns the orders that a generator has placed and not finished.
func leftOpen(ctx context.Context, pool *pgxpool.Pool, limit int) ([]uuid.UUID, error) {
	rows, _ := pool.Query(ctx, selectOpen, limit) // CollectRows returns its error
	open, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("orders left open: %w", err)
	}
	return open, nil
}
