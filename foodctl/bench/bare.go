package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
)

// naps are those between two reads of a bare reader. A reader that lets the socket's buffer fill spares itself and the
// server the wake-up for each message; which nap is best depends on the machine.
var naps = []time.Duration{0, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond}

// codecs are those of the bare producers.
var codecs = []struct {
	name  string
	codec kgo.CompressionCodec
}{{"lz4", kgo.Lz4Compression()}, {"plain", kgo.NoCompression()}}

// readBare measures the bare readers, one after the other.
func (b *backlog) readBare(ctx context.Context, slot string) error {
	for _, nap := range naps {
		b.Progress("bare reader, " + napName(nap))
		r, server, err := b.reader(ctx, slot, nap)
		if err != nil {
			return err
		}
		w := b.watch(os.Getpid())
		err = r.run(ctx)
		m := w.stop("reader, "+napName(nap), b.Rows, b.PayloadBytes, b.local(server))
		_ = r.conn.Close() // nothing more is expected of it
		if err != nil {
			return err
		}
		m.Reads, b.end = &r.reads, r.end
		m.CPU.Broker = nil // it does nothing
		b.Readers = append(b.Readers, m)
	}
	return nil
}

func napName(nap time.Duration) string {
	if nap == 0 {
		return "eager"
	}
	return fmt.Sprintf("naps %g ms", nap.Seconds()*1e3)
}

func (b *backlog) reader(ctx context.Context, slot string, nap time.Duration) (*bareReader, int, error) {
	if err := b.released(ctx, slot); err != nil {
		return nil, 0, err
	}
	conn, server, err := startReading(ctx, b.url(), slot)
	return &bareReader{conn: conn, nap: nap, want: b.Rows}, server, err
}

// produceBare measures the bare producers, one after the other.
func (b *backlog) produceBare(ctx context.Context) error {
	for i := range codecs {
		b.Progress("bare producer, " + codecs[i].name)
		m, err := b.produce(ctx, i, "producer, "+codecs[i].name, func(context.Context) (int, error) { return 0, nil })
		if err != nil {
			return err
		}
		b.Producers = append(b.Producers, m)
	}
	return nil
}

// produce measures a bare producer and what runs beside it, into a topic that is deleted when it is over. beside
// returns the walsender, if there is one.
func (b *backlog) produce(
	ctx context.Context, codec int, name string, beside func(context.Context) (int, error),
) (m Measurement, err error) {
	b.topics++
	// The name of one before would meet its deletion.
	bare := fmt.Sprintf("%s-%d-%d", b.names.Topic, b.trial, b.topics)
	if _, err := broker.Ensure(ctx, b.client, bare, 0); err != nil {
		return m, err
	}
	defer func() {
		_, errDelete := kadm.NewClient(b.client).DeleteTopics(context.WithoutCancel(ctx), bare)
		err = errors.Join(err, errDelete)
	}()
	p, err := b.producer(ctx, bare, codecs[codec].codec, b.records)
	if err != nil {
		return m, err
	}
	defer p.client.Close()
	w := b.watch(os.Getpid())
	var walsender int
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.run(ctx, b.Rows) })
	g.Go(func() (err error) {
		walsender, err = beside(ctx)
		return err
	})
	err = g.Wait()
	return w.stop(name, b.Rows, b.PayloadBytes, b.local(walsender)), err
}

// bothBare measures the best bare reader and the best bare producer at once. Neither waits for the other.
func (b *backlog) bothBare(ctx context.Context, slot string) error {
	b.Progress("bare reader and bare producer at once")
	r, server, err := b.reader(ctx, slot, naps[best(b.Readers)])
	if err != nil {
		return err
	}
	defer r.conn.Close() // after the walsender's time was taken
	b.Both, err = b.produce(ctx, best(b.Producers), "both, uncoupled", func(ctx context.Context) (int, error) {
		return server, r.run(ctx)
	})
	b.Both.Reads = &r.reads
	return err
}
