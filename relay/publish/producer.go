// Package publish writes events and the checkpoint that they lead to into Kafka, in one transaction (I4).
//
// A Producer promises that of two with the same transactional id only the newer can commit (I6), that a transaction with
// a record that failed is never committed, nor one that would hide that the broker lost records of an earlier one (I7),
// that transactions are committed in the order in which they were begun, and that a commit is told of only when the broker
// has said so. It does not promise that a commit which ended in an error did not take place: nobody can know. After any error
// the Producer is of no more use; the next one's start ends what this one left open, and the checkpoint tells what was
// committed.
package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/spans"
)

const (
	// transactionTimeout is after how long the broker aborts a transaction that nobody ends. It must be longer than a
	// batch can take, and it is how long readers wait for the transaction of a relay that died and was not replaced.
	transactionTimeout = 30 * time.Second
	// batchBytes is when a record batch is full, before compression, and openBytes what the open ones of all partitions may take
	// together: of many partitions, each has less, down to smallBatch. Larger: less work for the brokers, more memory.
	batchBytes = 512 << 10
	openBytes  = 6 << 20
	smallBatch = 64 << 10
	// maxQueuedBytes bounds the batches that wait for the broker's answer; Add blocks above it.
	maxQueuedBytes = 4 << 20
	// frame is what a record in a batch of its own takes besides its key, value and headers, generously.
	frame = batchHeader + 64
)

// Config says where a Producer writes.
type Config struct {
	Brokers         []string
	Security        kafka.Security
	TransactionalID string // fixed for a source and slot: no host, process or version in it, or it would fence nobody
	CheckpointTopic string
	Topic           string // that all events go to; empty if they are routed
	Layout          *layout.Layout
	Schemas         topic.Schemas // of the events; nil where there is no schema registry
	Source          string        // the ce_source of the events
	Log             *slog.Logger
	Buried          func()           // is called for each event that goes to the dead letters; nil where there are none
	Spans           func(spans.Span) // is told of each committed event whose trace is recorded, and must not wait; nil for nobody
}

// ErrTooLarge means that an event can never be published. The relay halts: skipping it would be a loss.
var ErrTooLarge = errors.New("the event is larger than the topic accepts")

// ErrLogCut means that the broker has lost records that it had acknowledged to this producer. A new start finds out what
// is missing (I7); this producer must not go on behind the gap.
var ErrLogCut = errors.New("the broker has lost records that it had acknowledged")

// Producer is a transactional producer. Its methods, Close apart, are for one goroutine.
type Producer struct {
	client       *kgo.Client
	config       Config
	encoder      encoder
	all          []*partition
	checkpoint   *partition // of them, the checkpoint topic's
	destinations map[string]*destination
	only         *destination            // where all events go; nil if they are routed
	routes       map[string]*destination // by the value that routes
	sender       *sender
	tx           *transaction // the last one begun
	tracing      bool         // the log is at debug

	headers, scratch []byte // memory that is used again

	stop  context.CancelFunc
	close sync.Once
}

// encoder writes the headers of a row's record.
type encoder interface {
	Append(b []byte, row outbox.Row, src topic.Source) ([]byte, error)
}

// Open makes the producer and takes the transactional id over, which fences its predecessor and aborts what that one
// left open. The topics are those that it may have written to; where rows are routed, it finds others as they come.
func Open(ctx context.Context, config Config, topics ...Topic) (*Producer, error) {
	lost := new(disconnects)
	client, err := kgo.NewClient(append(config.Security.Options(),
		kgo.SeedBrokers(config.Brokers...),
		kgo.ClientID("relay"),
		clientLog(config.Log),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.WithHooks(lost),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	p := newProducer(ctx, client, config, topics)
	p.sender.lost = lost
	// Leaders first: what a takeover aborts in a partition without one may stay open (see decided).
	if err = p.sender.known(ctx); err == nil {
		err = p.takeOver(ctx)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	go p.sender.run(ctx)
	return p, nil
}

func newProducer(ctx context.Context, client *kgo.Client, config Config, topics []Topic) *Producer {
	p := &Producer{
		client: client, config: config,
		encoder: topic.NewEncoder(config.Source),
		tracing: config.Log.Enabled(ctx, slog.LevelDebug),
		sender:  newSender(client, config, topics),

		checkpoint:   &partition{topic: config.CheckpointTopic, acked: -1},
		destinations: make(map[string]*destination),
		routes:       make(map[string]*destination),
	}
	if !config.Layout.Own {
		p.encoder = topic.NewForeign(config.Source, config.Layout.Headers(), config.Layout.Plain)
	}
	p.all = []*partition{p.checkpoint}
	for _, t := range topics {
		p.add(t)
	}
	p.only = p.destinations[config.Topic]
	return p
}

// Close ends the client. Calls under way return an error.
func (p *Producer) Close() {
	p.close.Do(func() {
		p.stop()
		p.client.Close()
		<-p.sender.done
	})
}

// Result is how a transaction ended that was given to End: committed, with this checkpoint, or not to be known. After an
// error there are no more results.
type Result struct {
	Checkpoint checkpoint.Record
	Err        error
}

// Results are those of End, in order, and an error that befalls the producer at any other time. They must be read:
// commits wait for it.
func (p *Producer) Results() <-chan Result { return p.sender.results }

// Begin starts a transaction, also while the one before is being committed. The broker hears of it with its first records.
func (p *Producer) Begin() error {
	for _, part := range p.all {
		part.sequence = 0
	}
	p.tx = new(transaction)
	return p.sender.begin(p.tx)
}

// Add adds an event to the transaction, and returns its size in bytes. It copies what it needs of the row. It returns an
// error that wraps ErrTooLarge or topic.ErrUnpublishable for an event that cannot be published, unless there is a topic for such,
// and topic.ErrNoSchema for one that can be once a schema is added; other errors may be of earlier events.
func (p *Producer) Add(ctx context.Context, row outbox.Row, src topic.Source) (int, error) {
	n, err := p.publish(ctx, row, src)
	if err != nil && p.config.Layout.DeadLetters != "" && (errors.Is(err, ErrTooLarge) || errors.Is(err, topic.ErrUnpublishable)) {
		return p.bury(ctx, row, src, err)
	}
	return n, err
}

func (p *Producer) publish(ctx context.Context, row outbox.Row, src topic.Source) (int, error) {
	if !p.config.Layout.Own {
		if err := p.config.Layout.Whole(row); err != nil {
			return 0, fmt.Errorf("%w: event %s of transaction %s: %w", topic.ErrUnpublishable, row.ID, src.Commit, err)
		}
	}
	to, err := p.destination(ctx, row.AggregateType)
	if err != nil {
		return 0, fmt.Errorf("event %s: %w", row.ID, err)
	}
	if p.headers, err = p.encoder.Append(p.headers[:0], row, src); err != nil {
		return 0, err
	}
	at, value, err := p.shape(row, src)
	if err != nil {
		return 0, err
	}
	size := len(row.AggregateID) + value.size() + len(p.headers)
	if size+frame > int(to.MaxMessageBytes) {
		return 0, fmt.Errorf("%w: event %s of %s %s has %d bytes, max.message.bytes of %s is %d: raise it, then start the relay again",
			ErrTooLarge, row.ID, row.AggregateType, row.AggregateID, size, to.Name, to.MaxMessageBytes)
	}
	return size, p.put(ctx, to, at, row, value, src)
}

// put adds a record with p.headers to a topic.
func (p *Producer) put(ctx context.Context, t *destination, at time.Time, row outbox.Row, v value, src topic.Source) error {
	to := t.partitions[t.Partition(row.AggregateID)]
	if to.open.count > 0 && len(to.open.records)+len(row.AggregateID)+v.size()+len(p.headers)+frame > t.batchBytes {
		if err := p.sender.wait(ctx, maxQueuedBytes, math.MaxInt); err != nil {
			return err
		}
		p.sender.enqueue(p.tx, false, p.seal(to))
	}
	to.open.add(at.UnixMilli(), row.AggregateID, v, p.headers)
	to.last = append(to.last[:0], row.ID...)
	p.follow(row, v.payload == nil, src.Commit, to)
	return p.sender.err()
}

// shape returns the timestamp and the value of a row's record.
func (p *Producer) shape(row outbox.Row, src topic.Source) (at time.Time, v value, err error) {
	at, v.payload = src.Committed, row.Payload
	if p.config.Layout.Stamped && row.OccurredAt != nil {
		if at, err = row.Time(); err != nil {
			return at, v, fmt.Errorf("%w: %w", topic.ErrUnpublishable, err)
		}
	}
	if p.config.Layout.Tombstones && row.Content != outbox.Bytes && len(bytes.TrimSpace(v.payload)) == 0 { // as Debezium, which looks at text
		v.payload = nil
	}
	if v.payload == nil {
		return at, v, nil
	}
	if v.prefix, err = p.config.Schemas.Prefix(row); err != nil {
		remedy := "put its TYPE.json into the directory of --schemas"
		if p.config.Layout.Own {
			remedy = "a newer program writes it, so install that version's relay"
		}
		return at, v, fmt.Errorf("%w: %s, then start the relay again", err, remedy)
	}
	return at, v, nil
}

// seal finishes the open batch of a partition.
func (p *Producer) seal(to *partition) *sealed {
	b := &sealed{partition: to, count: to.open.count, sequence: to.sequence}
	to.sequence += b.count
	b.wire, p.scratch = to.open.seal(p.sender.memory(), p.scratch)
	if most := 2 * batchBytes; cap(to.open.records) > most { // for one large event, which is no reason to keep as much for ever
		to.open.records, p.scratch = nil, nil
	}
	p.tx.sealed(b)
	return b
}

// End adds the checkpoint to the transaction and hands both over to be committed together (I4). It fills in the checkpoint's
// last events and returns the checkpoint as it is written. The commit is told by Results. End waits until the transaction
// before this one is committed: one at most is under way while the next is filled.
//
// The order is the proof. Were the checkpoint written after the commit, a crash between the two would publish the events
// again.
func (p *Producer) End(ctx context.Context, cp checkpoint.Record) (checkpoint.Record, error) {
	cp.Topics = maps.Clone(cp.Topics)
	if cp.Topics == nil {
		cp.Topics = make(map[string]checkpoint.Ends)
	}
	for name, t := range p.destinations {
		cp.Topics[name] = t.ended(cp.Topics[name])
	}
	text, err := cp.Marshal()
	if err != nil {
		return cp, err
	}
	p.checkpoint.open.add(time.Now().UnixMilli(), []byte(cp.Slot), value{payload: text}, noHeaders)
	p.tx.checkpoint = cp
	p.sender.enqueue(p.tx, true, p.sealAll()...)
	return cp, p.sender.wait(ctx, math.MaxInt, 1)
}

// Commit is End, and waits for the commit. An error does not mean that it did not take place.
func (p *Producer) Commit(ctx context.Context, cp checkpoint.Record) (checkpoint.Record, error) {
	cp, err := p.End(ctx, cp)
	if err != nil {
		p.Close()
		return cp, err
	}
	select {
	case r := <-p.Results():
		return cp, r.Err
	case <-ctx.Done():
		p.Close()
		return cp, fmt.Errorf("commit: %w", context.Cause(ctx))
	}
}

// sealAll finishes all open batches.
func (p *Producer) sealAll() (batches []*sealed) {
	for _, part := range p.all {
		if part.open.count > 0 {
			batches = append(batches, p.seal(part))
		}
	}
	return batches
}
