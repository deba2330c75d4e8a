package audit

import (
	"fmt"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// transactions are the source transactions of which the topic has not shown all events yet. A complete one is forgotten,
// so that only those whose events stand in partitions that are read at different speeds take memory.
type transactions struct {
	open   map[commit]*transaction
	loaded int64 // events that came out of the table and not out of the log: nothing says what was committed with them
}

// commit names a source transaction.
type commit struct {
	source string
	lsn    outbox.LSN
}

// transaction is what has been seen of one source transaction.
type transaction struct {
	events int // how many
	sum    int // of their indices: 0+1+...+last when each is there once
	last   int // index of the last event, -1 while it has not been seen
	number int // of one of its events
	inCut  bool
}

func (t *transactions) add(number int, inCut bool, src topic.Source) {
	if src.Commit == 0 {
		t.loaded++
		return
	}
	name := commit{source: src.Name, lsn: src.Commit}
	tx := t.open[name]
	if tx == nil {
		tx = &transaction{last: -1}
		t.open[name] = tx
	}
	tx.events++
	tx.sum += src.Index
	tx.number, tx.inCut = number, tx.inCut || inCut
	if src.Last {
		tx.last = src.Index
	}
	if tx.whole() {
		delete(t.open, name)
	}
}

// whole reports whether the events are exactly those numbered 0 to last. Events are unique, so equal counts with equal
// sums mean it, but for pairs of wrong indices that cancel out.
func (t *transaction) whole() bool {
	return t.last >= 0 && t.events == t.last+1 && t.sum == t.last*(t.last+1)/2
}

func (t *transaction) String() string {
	if t.last < 0 {
		return fmt.Sprintf("%d of its events are there and none is marked as the last", t.events)
	}
	return fmt.Sprintf("%d of its events are there, the last one has index %d, and the indices' sum is %d", t.events, t.last, t.sum)
}
