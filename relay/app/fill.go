package app

import (
	"context"
	"errors"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
)

// loadAge bounds a transaction of a load: it must end before the broker aborts it.
const loadAge = 5 * time.Second

// progressEvery is how often a load says how far it is.
const progressEvery = 5 * time.Second

// lacking counts the rows of the table, and those of them that the topics do not have.
func (s *session) lacking(ctx context.Context, table *backlog.Reader, published eventSet) (total, lacking int, err error) {
	err = table.Rows(ctx, func(row outbox.Row) error {
		total++
		if _, there := published[eventKey(s.topicOf(row), row.ID)]; !there {
			lacking++
		}
		return nil
	})
	return total, lacking, err
}

// errLacks ends a reading of the table at the first row that the topics do not have.
var errLacks = errors.New("the topics lack a row")

// fillable says whether there is anything to publish, and returns backlog.ErrUnordered if it cannot be.
func (s *session) fillable(ctx context.Context, table *backlog.Reader, published eventSet) (bool, error) {
	err := table.Rows(ctx, func(row outbox.Row) error {
		if _, there := published[eventKey(s.topicOf(row), row.ID)]; !there {
			return errLacks
		}
		return nil
	})
	if errors.Is(err, errLacks) {
		return true, table.Ordered()
	}
	return false, err
}

// fill publishes the rows of the table that the topics do not have, in its order.
func (s *session) fill(ctx context.Context, table *backlog.Reader, published eventSet) error {
	total, err := table.Count(ctx)
	if err != nil {
		return err
	}
	f := &filling{session: s, total: total, said: time.Now()}
	err = table.Rows(ctx, func(row outbox.Row) error {
		if _, there := published[eventKey(s.topicOf(row), row.ID)]; there {
			return nil
		}
		return f.add(ctx, row)
	})
	if err != nil {
		return err
	}
	return f.flush(ctx)
}

// filling is the batch at hand of a load.
type filling struct {
	*session

	total         int64 // rows in the table
	events, bytes int
	began, said   time.Time // the batch; the last word on how far the load is
}

func (f *filling) add(ctx context.Context, row outbox.Row) error {
	if f.events == 0 {
		if err := f.producer.Begin(); err != nil {
			return err
		}
		f.began = time.Now()
	}
	at, err := row.Time()
	if err != nil { // it does not say, and when it was committed is not known any more; or what it says is for Add to judge
		at = time.Now()
	}
	n, err := f.producer.Add(ctx, row, topic.Source{Committed: at})
	if err != nil {
		return err
	}
	f.events, f.bytes = f.events+1, f.bytes+n
	if f.events >= f.limits.softEvents || f.bytes >= f.limits.softBytes || time.Since(f.began) >= loadAge {
		return f.flush(ctx)
	}
	return nil
}

func (f *filling) flush(ctx context.Context) error {
	if f.events == 0 {
		return nil
	}
	f.cp.Events += int64(f.events)
	if err := f.commitLoad(ctx); err != nil {
		return err
	}
	f.metrics.committed(batch{events: f.events}, time.Since(f.began), f.cp)
	f.events, f.bytes = 0, 0
	if time.Since(f.said) >= progressEvery {
		f.said = time.Now()
		f.log.Info("loading the outbox", "events", f.cp.Events, "events_total", f.total)
	}
	crash.At(crash.Loaded)
	return nil
}
