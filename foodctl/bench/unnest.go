package bench

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// limits measures what bare clients need for the rows that were recorded.
func (x *replays) limits(ctx context.Context) (err error) {
	want, err := x.rows(ctx, x.recorded.conn)
	if err != nil {
		return err
	}
	nothing := func(context.Context) error { return nil }
	for _, limit := range []struct {
		into   *Limit
		name   string
		way    way
		beside func(context.Context) error
	}{
		{&x.Unnest, "unnest", bare, nothing},
		{&x.Both, "unnest and consumer", bare, x.readAll},
		{&x.Whole, "fence, read, unnest", whole, nothing},
	} {
		x.Progress("bare client: " + limit.name)
		*limit.into, err = x.limit(ctx, want, func(ctx context.Context, m *readModel) (Pass, error) {
			return x.replayed(ctx, m, limit.name, limit.way, limit.beside)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", limit.name, err)
		}
	}
	x.Progress("bare client: COPY")
	if x.Copy, err = x.limit(ctx, want, x.copied); err != nil {
		return fmt.Errorf("COPY: %w", err)
	}
	x.Progress("bare client: with and without the fence, in turns")
	x.FenceCost, err = x.fenceCost(ctx)
	return err
}

// limit measures with a fresh read model and compares its rows with those that the projector wrote.
func (x *replays) limit(ctx context.Context, want fingerprints, measure func(context.Context, *readModel) (Pass, error)) (l Limit, err error) {
	m, err := x.readModel(ctx)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, m.drop(context.WithoutCancel(ctx))) }()
	if l.Pass, err = measure(ctx, m); err != nil {
		return l, err
	}
	got, err := x.rows(ctx, m.conn)
	if err != nil {
		return l, err
	}
	l.Different = want.differ(got)
	x.Void = x.Void || len(l.Different) > 0
	return l, nil
}

// replayed measures a client for each partition that replays the recording, and what runs beside them.
func (x *replays) replayed(ctx context.Context, m *readModel, name string, w way, beside func(context.Context) error) (Pass, error) {
	var measured *watch
	err := x.replayers(ctx, m, func() { measured = x.watch(os.Getpid()) }, beside, func(p *replayer, part int) error {
		for _, b := range x.recording.batches[part] {
			said, err := x.recording.messages(b)
			if err == nil {
				err = p.batch(b, said, w)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Pass{}, err
	}
	return measured.pass(name, x.Events, x.recording.transactions()), nil
}

// replayers connects a client for each partition to a read model in which nothing but the claims of the recording is, says
// when they begin, and lets them do something at once.
func (x *replays) replayers(
	ctx context.Context, m *readModel, began func(), beside func(context.Context) error, do func(p *replayer, part int) error,
) error {
	if err := x.claimAgain(ctx, m); err != nil {
		return err
	}
	var clients [topic.Partitions]*replayer
	for part := range clients {
		var err error
		if clients[part], err = x.recording.replayer(ctx, x.urlAs(x.login, m.name, "")); err != nil {
			return err
		}
		defer clients[part].conn.Close()
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	began()
	g, ctx := errgroup.WithContext(ctx)
	for part, p := range clients {
		g.Go(func() error {
			defer p.guard(ctx)()
			return do(p, part)
		})
	}
	g.Go(func() error { return beside(ctx) })
	return g.Wait()
}

// readAll reads the topic and throws it away.
func (x *replays) readAll(ctx context.Context) error {
	to, err := x.ends(ctx, x.names.Topic)
	if err != nil {
		return err
	}
	return x.consume(ctx, x.names.Topic, ends{}, to, func(*kgo.Record) {})
}

const resetClaim = `
UPDATE projection_offsets
SET next_offset = $2,
    leader_epoch = -1,
    applied_events = 0
WHERE part = $1`

// claimAgain gives a read model the claims that the recorded batches were made under.
func (x *replays) claimAgain(ctx context.Context, m *readModel) error {
	if err := transfer(ctx, x.recorded.conn, m.conn, "SELECT * FROM "+offsets, offsets); err != nil {
		return err
	}
	for part, list := range x.recording.batches {
		if _, err := m.conn.Exec(ctx, resetClaim, part, list[0].next); err != nil {
			return fmt.Errorf("claim partition %d: %w", part, err)
		}
	}
	return nil
}
