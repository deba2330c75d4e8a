package app

import (
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// limits bound a batch, which is one Kafka transaction.
type limits struct {
	// softEvents and softBytes end a batch between two source transactions. Higher: fewer commits in a backlog, more
	// memory, and more to send again after a crash.
	softEvents, softBytes int
	// hardEvents and hardBytes end it inside of one, which is then split. A source transaction that is smaller than the
	// difference between hard and soft is split by age alone (I3).
	hardEvents, hardBytes int
	// age ends a batch that has been open for so long, inside of a source transaction too: readers wait for an open one.
	age time.Duration
	// spacing is the least time between the commits of two batches that are not full, 0 for none. Higher: fewer and larger
	// transactions of a steady stream, which cost relay, brokers and projectors less, and as much more latency, up to age.
	// The event that ends a silence waits for nothing.
	spacing time.Duration
	// idleAge and idleBytes are how old, or how far behind the log, an acknowledgement may become while there is nothing
	// to publish, before a checkpoint of its own is worth it.
	idleAge   time.Duration
	idleBytes outbox.LSN
}

// moreWithin is how long more is waited for that was said to be on its way. In a backlog, the transaction that is committed
// too early is a small one, and costs as much as a large one.
const moreWithin = 20 * time.Millisecond

func defaultLimits() limits {
	return limits{
		softEvents: 20_000, softBytes: 16 << 20,
		hardEvents: 80_000, hardBytes: 64 << 20,
		age:     500 * time.Millisecond,
		idleAge: 10 * time.Second, idleBytes: 16 << 20,
	}
}

// due says whether the batch is to be committed now: when the stream has run dry between two transactions and nothing else is
// being committed, or the batch is old; or, while there is nothing to publish, when an acknowledgement is overdue.
func (p *pump) due() bool {
	if p.batch.events > 0 {
		dry := len(p.ending) == 0 && !p.tx.open && len(p.src.Chunks()) == 0 && time.Until(p.dryAt()) <= 0
		return dry || time.Since(p.batch.opened) >= p.limits.age
	}
	if !p.idleAhead() {
		p.idleSince = time.Time{}
		return false
	}
	if p.idleSince.IsZero() {
		p.idleSince = time.Now()
	}
	return p.asked || p.at.End-p.ended.At.End >= p.limits.idleBytes || time.Since(p.idleSince) >= p.limits.idleAge
}

// dryAt is from when on the stream has run dry, if nothing comes: at once, but where more was to come, and but for the
// spacing.
func (p *pump) dryAt() time.Time {
	at := p.endedAt.Add(p.limits.spacing)
	if arrival := p.takenAt.Add(moreWithin); p.more && arrival.After(at) {
		return arrival
	}
	return at
}

// untilDue is how long to wait for a message before looking at due again.
func (p *pump) untilDue() time.Duration {
	switch {
	case p.batch.events > 0 && !p.tx.open && len(p.ending) == 0:
		return max(0, min(p.limits.age-time.Since(p.batch.opened), time.Until(p.dryAt())))
	case p.batch.events > 0:
		return max(0, p.limits.age-time.Since(p.batch.opened))
	case !p.idleSince.IsZero():
		return max(0, p.limits.idleAge-time.Since(p.idleSince))
	default:
		return time.Hour
	}
}

// idle takes a position below which there is nothing more to publish. One at or below the checkpoint says nothing: after
// a reconnect the server decodes again from further back, and its keepalives go back with it. (I5: the checkpoint never
// goes back.)
func (p *pump) idle(m *wal.Message) error {
	switch {
	case m.LSN <= p.at.End:
	case p.resume != nil && m.LSN > p.resume.Commit:
		return p.lost(m.LSN)
	case p.resume == nil:
		p.at.End = m.LSN
		p.asked = p.asked || m.Asked
	}
	return nil
}

func (p *pump) idleAhead() bool {
	return !p.tx.open && p.at.End > p.ended.At.End
}
