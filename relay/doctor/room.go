package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

const (
	outage = time.Hour // of Kafka or the relay, which the log should span
	sample = time.Second
)

func (s *source) written(ctx context.Context) (at outbox.LSN, err error) {
	var n int64
	if err := s.conn.QueryRow(ctx, "SELECT (pg_current_wal_lsn() - '0/0')::bigint").Scan(&n); err != nil {
		return 0, fmt.Errorf("position of the log: %w", err)
	}
	return outbox.LSN(n), nil
}

// rate is how many bytes of log the server writes a second: as of this moment, or since its statistics begin, whichever is
// more. These count if they are an hour's at least.
func (s *source) rate(ctx context.Context) (float64, error) {
	select {
	case <-time.After(sample - time.Since(s.began)):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	at, err := s.written(ctx)
	if err != nil {
		return 0, err
	}
	now := float64(at-s.position) / time.Since(s.began).Seconds()
	var average float64
	err = s.conn.QueryRow(ctx, selectAverage).Scan(&average)
	if err != nil {
		return 0, fmt.Errorf("statistics of the log: %w", err)
	}
	return max(now, average), nil
}

const selectAverage = `
SELECT CASE WHEN now() - stats_reset >= interval '1 hour'
            THEN (wal_bytes / extract(epoch FROM now() - stats_reset))::float8 ELSE 0 END
FROM pg_stat_wal`

func (s *source) keepSize(ctx context.Context) Finding {
	const name = "max_slot_wal_keep_size"
	rate, err := s.rate(ctx)
	if err != nil {
		return unknown(err)
	}
	keep, hour := s.number(name)<<20, int64(rate*outage.Seconds()) // the unit is MB
	enough := max(2*s.MaxRetainedWAL, 2*hour)
	switch {
	case keep < 0:
		return warning("unbounded: while Kafka is away the log fills the disk, and then no order is taken",
			s.alter(name, bytes(enough))...)
	case keep < hour:
		return warning(fmt.Sprintf("%s: at %s/s the slot is lost after %s of an outage", s.settings[name].pretty,
			bytes(int64(rate)),
			time.Duration(float64(keep)/rate*float64(time.Second)).Round(time.Second)), s.alter(name, bytes(enough))...)
	case keep <= s.MaxRetainedWAL:
		return warning(fmt.Sprintf("%s, and the relay says that it is not ready only above %s: the slot is lost by "+
			"then",
			s.settings[name].pretty, bytes(s.MaxRetainedWAL)), fmt.Sprintf("RELAY_MAX_RETAINED_WAL=%d", keep/2))
	}
	return ok("%s; an hour of log is %s at the rate of now", s.settings[name].pretty, bytes(hour))
}

func (s *source) retained(ctx context.Context) Finding {
	slot, err := wal.Inspect(ctx, s.conn, s.Slot)
	switch {
	case errors.Is(err, wal.ErrNoSlot):
		return ok("no slot, so nothing is held back")
	case err != nil:
		return unknown(err)
	case !slot.Ours || !slot.Usable:
		return ok("the slot holds nothing back that the relay could use")
	}
	found := bytes(slot.Retained) + " held back"
	if slot.Safe == nil {
		found += ", without a limit"
	} else {
		found += fmt.Sprintf(", %s may follow", bytes(max(0, *slot.Safe)))
	}
	if slot.Status != "unreserved" && slot.Retained <= s.MaxRetainedWAL {
		return ok("%s", found)
	}
	remedy := []string{"start the relay, or Kafka, or end the transaction with the oldest xact_start in " +
		"pg_stat_activity"}
	if keep := s.number("max_slot_wal_keep_size") << 20; keep >= 0 {
		remedy = append(remedy, "or, if the disk has it, wait longer:")
		remedy = append(remedy, s.alter("max_slot_wal_keep_size", bytes(2*max(keep, slot.Retained)))...)
	}
	return warning(found+fmt.Sprintf(", status %s: the relay is not ready", slot.Status), remedy...)
}
