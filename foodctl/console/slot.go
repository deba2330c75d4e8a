package console

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const selectSlot = `
SELECT coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, '0/0'), 0)::bigint,
       s.slot_name IS NOT NULL,
       coalesce(s.active, false),
       coalesce(s.wal_status = 'lost', false),
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn), 0)::bigint,
       s.safe_wal_size
FROM (VALUES (1)) AS one (n)
LEFT JOIN pg_replication_slots AS s ON s.slot_name = $1`

// readSlot reads the relay's slot (PostgreSQL documentation, section "pg_replication_slots") and where the log ends, in bytes.
func (c *Console) readSlot(ctx context.Context) (s Slot, log int64, err error) {
	err = c.orders.QueryRow(ctx, selectSlot, c.cfg.Slot).Scan(&log, &s.Exists, &s.Active, &s.Lost, &s.Held, &s.Safe)
	if err != nil {
		return Slot{}, 0, fmt.Errorf("orders database: the relay's slot: %w", err)
	}
	s.Name = c.cfg.Slot
	return s, log, nil
}

// slotOf adds how long the slot lasts when nothing is acknowledged any more.
func (l *looker) slotOf(s Slot) Slot {
	now := l.history[len(l.history)-1]
	before := l.since(now, logWindow)
	if grown := perSecond(now.log-before.log, now.at.Sub(before.at)); s.Safe != nil && grown > 0 && before.log > 0 {
		s.LostSeconds = new(float64(max(0, *s.Safe)) / grown)
	}
	return s
}

const selectMembers = `
SELECT part, owner, owner_epoch, next_offset, applied_events, updated_at
FROM projection_offsets
WHERE topic = $1
ORDER BY part`

// readMembers reads who has which partition, as the read model says.
func (c *Console) readMembers(ctx context.Context) ([]Member, error) {
	rows, _ := c.readModel.Query(ctx, selectMembers, c.cfg.Topic)
	members, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Member])
	if err != nil {
		return nil, fmt.Errorf("read model's database: who has which partition: %w", err)
	}
	return members, nil
}
