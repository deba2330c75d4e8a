package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

const recoverSlot = "relay recover --reason '...'"

// slotRow is what of a row of pg_replication_slots package wal does not tell. As JSON it is read from every version.
type slotRow struct {
	Plugin   string `json:"plugin"`
	Kind     string `json:"slot_type"`
	Database string `json:"database"`
	Failover *bool  `json:"failover"` // nil before 17
}

const selectSlotRow = `
SELECT to_jsonb(s)
FROM pg_replication_slots s
WHERE slot_name = $1`

func (s *source) slot(ctx context.Context) Finding {
	slot, err := wal.Inspect(ctx, s.conn, s.Slot)
	switch {
	case errors.Is(err, wal.ErrNoSlot):
		return ok("%s is not there: a first start makes it", s.Slot)
	case err != nil:
		return unknown(err)
	}
	row, err := s.slotRow(ctx)
	switch {
	case err != nil:
		return unknown(err)
	case !slot.Ours:
		return refused(fmt.Sprintf("%s is %s", s.Slot, row), "RELAY_SLOT=NAME, of a slot that is not there yet")
	case !slot.Usable:
		return refused(fmt.Sprintf("%s is %s: its log is gone", s.Slot, slot.Status), recoverSlot)
	case !slot.Active:
		return ok("%s is %s, pgoutput, and no relay holds it", s.Slot, slot.Status)
	}
	return s.holder(ctx, slot)
}

func (s *source) slotRow(ctx context.Context) (row slotRow, err error) {
	var text []byte
	if err := s.conn.QueryRow(ctx, selectSlotRow, s.Slot).Scan(&text); err != nil {
		return row, fmt.Errorf("slot %s: %w", s.Slot, err)
	}
	return row, json.Unmarshal(text, &row)
}

// String says whose slot it is.
func (r slotRow) String() string {
	if r.Kind == "physical" {
		return "a physical slot: a standby's, or a backup's"
	}
	return fmt.Sprintf("one of %s in database %s, not of pgoutput in this one", r.Plugin, r.Database)
}

// selectHolder gives NULLs for a session of a role whose sessions this one may not see.
const selectHolder = `
SELECT a.pid, coalesce(a.application_name, '(of another role)'), coalesce(host(a.client_addr), 'a local socket')
FROM pg_replication_slots s
JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = $1`

// Holder is the session that has a slot.
type Holder struct {
	PID     int32  `json:"pid"`
	Name    string `json:"application_name"`
	Address string `json:"client_addr"`
}

// String says which session it is.
func (h Holder) String() string { return fmt.Sprintf("pid %d, %s from %s", h.PID, h.Name, h.Address) }

// WhoHolds returns nil if nobody has the slot.
func WhoHolds(ctx context.Context, conn *pgx.Conn, slot string) (*Holder, error) {
	var h Holder
	err := conn.QueryRow(ctx, selectHolder, slot).Scan(&h.PID, &h.Name, &h.Address)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nobody is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("who holds slot %s: %w", slot, err)
	}
	return &h, nil
}

func (s *source) holder(ctx context.Context, slot wal.Slot) Finding {
	h, err := WhoHolds(ctx, s.conn, s.Slot)
	switch {
	case err != nil:
		return unknown(err)
	case h == nil:
		return ok("%s is %s; its relay went away this moment", s.Slot, slot.Status)
	case h.Name == "relay" || strings.HasPrefix(h.Name, "("):
		return ok("%s is %s, active: %s", s.Slot, slot.Status, h)
	}
	return warning(fmt.Sprintf("%s is in use by what is no relay: %s", s.Slot, h),
		fmt.Sprintf("SELECT pg_terminate_backend(%d);", h.PID),
		"and see to it that it does not come back, or choose another RELAY_SLOT")
}

func (s *source) failover(ctx context.Context) Finding {
	if s.version < 170000 {
		return ok("this version has none: after a failover, relay recover")
	}
	row, err := s.slotRow(ctx)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ok("a new slot will be one")
	case err != nil:
		return unknown(err)
	case row.Failover == nil || *row.Failover:
		return ok("standbys may keep the slot up")
	}
	return warning("the slot is not one that standbys keep up: after a failover it is not there, and relay recover "+
		"is needed",
		fmt.Sprintf("ALTER_REPLICATION_SLOT %s (FAILOVER true);", quote(s.Slot)),
		"on a replication connection, while no relay runs: psql 'dbname=... replication=database'")
}

const selectPhysical = `
SELECT slot_name::text, active
FROM pg_replication_slots
WHERE slot_type = 'physical'
ORDER BY slot_name`

// standbys matter to the relay in two ways: one that is promoted should have the slot, and one that is waited for must live.
func (s *source) standbys(ctx context.Context) Finding {
	rows, err := s.conn.Query(ctx, selectPhysical)
	if err != nil {
		return unknown(err)
	}
	standbys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Name   string
		Active bool
	}])
	if err != nil {
		return unknown(err)
	}
	living := make(map[string]bool)
	var names []string // of those that follow
	for _, standby := range standbys {
		living[standby.Name] = standby.Active
		if standby.Active {
			names = append(names, standby.Name)
		}
	}
	if s.version < 170000 {
		return ok("%d slots of standbys; this version does not keep the relay's slot up on them", len(names))
	}
	const setting = "synchronized_standby_slots"
	waited := strings.FieldsFunc(s.settings[setting].value, func(r rune) bool { return strings.ContainsRune(`, "`, r) })
	for _, name := range waited {
		if !living[name] {
			return unusable(fmt.Sprintf("%s names %s, which is away: nothing reaches the relay before it has it",
				setting, name),
				fmt.Sprintf("ALTER SYSTEM SET %s = %s;", setting,
					listed(slices.DeleteFunc(waited, func(n string) bool { return !living[n] }))),
				"SELECT pg_reload_conf();", "or start that standby")
		}
	}
	switch {
	case len(names) > 0 && len(waited) == 0:
		return warning(fmt.Sprintf("standbys %v follow, and %s is empty: one that is promoted may lack what was "+
			"published", names, setting),
			fmt.Sprintf("ALTER SYSTEM SET %s = %s;", setting, listed(names)), "SELECT pg_reload_conf();",
			"on each standby sync_replication_slots = on and hot_standby_feedback = on, and a dbname in primary_conninfo")
	case len(names) == 0:
		return ok("none follows by a slot")
	}
	return ok("%s names %v; whether they have sync_replication_slots on only they can say", setting, waited)
}

// listed writes names for ALTER SYSTEM, which takes a list as a list of literals. None is an empty one.
func listed(names []string) string {
	if len(names) == 0 {
		return "''"
	}
	literals := make([]string, len(names))
	for i, n := range names {
		literals[i] = "'" + n + "'" // names of slots have no quotes
	}
	return strings.Join(literals, ", ")
}
