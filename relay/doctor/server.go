package doctor

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// relayConnections is what one relay opens: the stream, two for questions, and in a load one that reads the table.
const relayConnections = 4

// alter is how to set a setting of the server that a reload makes known.
func (s *source) alter(name, value string) []string {
	return s.set(name, value, "SELECT pg_reload_conf();")
}

// alterAnew is how to set a setting of the server that takes a restart.
func (s *source) alterAnew(name, value string) []string {
	return s.set(name, value, "restart Postgres")
}

// set has nothing to do with ALTER SYSTEM where the value comes from what overrules that.
func (s *source) set(name, value, then string) []string {
	switch s.settings[name].source {
	case "command line":
		return []string{fmt.Sprintf("postgres -c %s=%s, where it is started: its command line overrules ALTER SYSTEM",
			name, value)}
	case "database", "user", "database user":
		return []string{
			fmt.Sprintf("ALTER ROLE %s RESET %s;", quote(s.role), name),
			fmt.Sprintf("or ALTER DATABASE ... RESET %s, where it is set there", name),
		}
	}
	return []string{fmt.Sprintf("ALTER SYSTEM SET %s = '%s';", name, value), then}
}

// number is a setting in its base unit.
func (s *source) number(name string) int64 {
	n, _ := strconv.ParseInt(s.settings[name].value, 10, 64) // pg_settings has them as whole numbers
	return n
}

func (s *source) walLevel(context.Context) Finding {
	if level := s.settings["wal_level"].value; level != "logical" {
		return unusable(level+": the log does not hold what the relay decodes", s.alterAnew("wal_level", "logical")...)
	}
	return ok("logical")
}

const countSlots = `
SELECT count(*), count(*) FILTER (WHERE slot_name = $1),
       coalesce(min(slot_name::text) FILTER (WHERE NOT active AND slot_name <> $1), '')
FROM pg_replication_slots`

func (s *source) slots(ctx context.Context) Finding {
	var used, ours int64
	var idle string
	if err := s.conn.QueryRow(ctx, countSlots, s.Slot).Scan(&used, &ours, &idle); err != nil {
		return unknown(err)
	}
	most := s.number("max_replication_slots")
	if used < most || ours > 0 {
		return ok("%d, %d in use", most, used)
	}
	remedy := s.alterAnew("max_replication_slots", strconv.FormatInt(most+2, 10))
	if idle != "" {
		remedy = append(remedy, "or, if nobody needs the slot "+idle+" any more, drop it: SELECT "+
			"pg_drop_replication_slot('"+idle+"')")
	}
	return unusable(fmt.Sprintf("%d, all in use: the relay's slot cannot be made", most), remedy...)
}

const countSenders = `
SELECT (SELECT count(*) FROM pg_stat_replication),
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active)`

// senders asks before any replication connection of the doctor's own is there.
func (s *source) senders(ctx context.Context) Finding {
	var used int64
	var active bool
	if err := s.conn.QueryRow(ctx, countSenders, s.Slot).Scan(&used, &active); err != nil {
		return unknown(err)
	}
	most := s.number("max_wal_senders")
	remedy := s.alterAnew("max_wal_senders", strconv.FormatInt(most+2, 10))
	switch {
	case used < most:
		return ok("%d, %d in use", most, used)
	case active:
		return warning(fmt.Sprintf("%d, all in use, one of them by the relay: a standby cannot try for the slot", most),
			remedy...)
	}
	return unusable(fmt.Sprintf("%d, all in use: the relay finds none", most), remedy...)
}

func (s *source) connections(context.Context) Finding {
	if s.limit >= 0 && s.limit < relayConnections && !s.super {
		return warning(fmt.Sprintf("%s may have %d connections; a relay has up to %d, its standby as many", s.role,
			s.limit, relayConnections),
			fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d;", quote(s.role), 2*relayConnections))
	}
	if s.limit < 0 {
		return ok("%s has none of its own", s.role)
	}
	return ok("%d for %s", s.limit, s.role)
}

func (s *source) superuser(context.Context) Finding {
	if !s.super {
		return ok("%s is none", s.role)
	}
	return warning(s.role+" is a superuser: whoever has the relay's password has the whole server",
		"CREATE ROLE relay LOGIN REPLICATION IN ROLE orders_relay;", `\password relay`,
		"ORDERS_DATABASE_URL=postgres://relay@HOST:PORT/DATABASE")
}

func (s *source) idleTimeout(context.Context) Finding {
	got, there := s.settings["idle_replication_slot_timeout"]
	switch {
	case !there:
		return ok("this version has none")
	case got.value == "0":
		return ok("off")
	}
	return warning(got.pretty+": a relay that is away for longer loses its slot",
		s.alter("idle_replication_slot_timeout", "0")...)
}

// leastWorkMem is below what one transaction of a few thousand events takes, in kB.
const leastWorkMem = 4 << 10

func (s *source) workMem(context.Context) Finding {
	const name = "logical_decoding_work_mem"
	if s.number(name) < leastWorkMem {
		return warning(s.settings[name].pretty+": transactions larger than that go through the disk before they are "+
			"sent", s.alter(name, "64MB")...)
	}
	return ok("%s; larger transactions go through the disk", s.settings[name].pretty)
}

func (s *source) durability(context.Context) Finding {
	for _, want := range []struct{ name, harm string }{
		{"fsync", "a crash of the machine loses orders that were confirmed, and the relay then refuses at gate log " +
			"or canary"},
		{"full_page_writes", "a crash of the machine can leave torn pages"},
		{"synchronous_commit", "a crash of the server loses the last orders, though they were confirmed"},
	} {
		if s.settings[want.name].value == "off" {
			return warning(want.name+" is off: "+want.harm, s.alter(want.name, "on")...)
		}
	}
	return ok("fsync and full_page_writes are on, synchronous_commit is %s", s.settings["synchronous_commit"].value)
}

// drift is how far clocks may be apart: latencies and the age of what is pending are measured with both.
const drift = time.Second

func (s *source) clock(ctx context.Context) Finding {
	before := time.Now()
	var there time.Time
	if err := s.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
		return unknown(err)
	}
	took := time.Since(before)
	return apart(there.Sub(before.Add(took/2)), took/2)
}

// apart judges how far the server's clock is ahead of this host's, give or take.
func apart(ahead, precision time.Duration) Finding {
	if ahead.Abs()-precision > drift {
		return warning(fmt.Sprintf("the server's is %+.1f s off this host's: latencies and ages of the metrics are "+
			"wrong by that", ahead.Seconds()),
			"chronyc makestep", "on both hosts; then keep chronyd or systemd-timesyncd running")
	}
	return ok("within %d ms of this host's", max(ahead.Abs(), precision).Milliseconds()+1)
}
