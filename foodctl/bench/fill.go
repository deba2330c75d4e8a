package bench

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// fillForm inserts a trial's events in real transactions of a size, all of it in the server: no client could commit a
// million times in so little time. It computes what trial.event does. COMMIT ends a transaction in a DO block that is
// not itself inside of one.
const fillForm = `
DO $fill$
DECLARE
    trial constant text := lpad(to_hex(%[1]d), 8, '0');
    types constant text[] := ARRAY['%[4]s'];
    first bigint := %[2]d;
BEGIN
    WHILE first < %[7]d LOOP
        INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, headers, occurred_at)
        SELECT (trial || '-' || lpad(version::text, 4, '0') || '-7000-8000-' || lpad(to_hex(o), 12, '0'))::uuid,
               'order',
               (trial || '-0000-7000-8000-' || lpad(to_hex(o), 12, '0'))::uuid,
               types[version],
               version,
               format('%[5]s', o, version, o %% 100 + 1, o %% 30 + 1, price, o %% 20 + 1, 2 * price + 890, h)::json,
               format('{"actor":"customer:%%s","correlation_id":"%%s","traceparent":"00-%%s-%%s-01"}',
                      o %% 100 + 1, substr(h, 17), h, substr(h, 1, 16))::json,
               timestamptz '%[6]s' + n * interval '1 second'
        FROM generate_series(first, least(first + %[3]d, %[7]d) - 1) AS n,
             LATERAL (SELECT n / 8 AS o, n %% 8 + 1 AS version, n / 8 %% 40 * 50 + 500 AS price,
                             md5(%[1]d || ':' || n) AS h) AS e;
        COMMIT;
        first := first + %[3]d;
    END LOOP;
END
$fill$`

// fill inserts n events, so many a transaction, with a session for each processor: each makes whole orders.
func (t trial) fill(ctx context.Context, url string, n int64, perTransaction int) error {
	g, ctx := errgroup.WithContext(ctx)
	sessions := int64(runtime.NumCPU())
	share := (n/sessions/perOrder + 1) * perOrder
	for first := int64(0); first < n; first += share {
		g.Go(func() error { return t.fillRange(ctx, url, first, min(first+share, n), perTransaction) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("fill the outbox: %w", err)
	}
	return nil
}

func (t trial) fillRange(ctx context.Context, url string, first, end int64, perTransaction int) error {
	names := make([]string, len(types))
	for i, kind := range types {
		names[i] = string(kind)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what it did is committed
	commands := []string{
		"SET synchronous_commit = off",
		"SET plan_cache_mode = force_generic_plan", // planning again for each transaction takes longer than the rest
		fmt.Sprintf(fillForm, uint32(t), first, perTransaction, strings.Join(names, "','"),
			strings.ReplaceAll(payloadForm, "%d", "%s"), firstAt.Format(time.RFC3339Nano), end),
	}
	for _, command := range commands {
		if _, err := conn.PgConn().Exec(ctx, command).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}
