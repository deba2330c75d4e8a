// Package publish writes events and the checkpoint that they lead to into Kafka, in one transaction (I4).
//
// A Producer promises that of two with the same transactional id only the newer can commit (I6), that a transaction with
// a record that failed is never committed, nor one that would hide that the broker lost records of an earlier one (I7),
// and that Commit returns nil only when the broker has said so. It does not promise that a Commit which returned an error
// did not take place: nobody can know. After any error the Producer is of no more use; the next one's start ends what this
// one left open, and the checkpoint tells what was committed.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
)

const (
	// transactionTimeout is after how long the broker aborts a transaction that nobody ends. It must be longer than a
	// batch can take, and it is how long readers wait for the transaction of a relay that died and was not replaced.
	transactionTimeout = 30 * time.Second
	// batchBytes is when a record batch is full, before compression. Larger: less work for the brokers, more memory.
	batchBytes = 512 << 10
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
	Source          string // the ce_source of the events
	Log             *slog.Logger
}

// ErrTooLarge means that an event can never be published. The relay halts: skipping it would be a loss.
var ErrTooLarge = errors.New("the event is larger than the topic accepts")

// ErrLogCut means that the broker has lost records that it had acknowledged to this producer. A new start finds out what
// is missing (I7); this producer must not go on behind the gap.
var ErrLogCut = errors.New("the broker has lost records that it had acknowledged")

// Producer is a transactional producer. Its methods, Close apart, are for one goroutine.
type Producer struct {
	client     *kgo.Client
	topic      Topic
	config     Config
	encoder    *topic.Encoder
	all        []*partition
	partitions []*partition // of them, the events' topic's, by number
	checkpoint *partition   // and the checkpoint topic's
	sender     *sender
	trace      trace

	headers, scratch []byte // memory that is used again

	stop  context.CancelFunc
	close sync.Once
}

// Open makes the producer and takes the transactional id over, which fences its predecessor and aborts what that one
// left open.
func Open(ctx context.Context, config Config, t Topic) (*Producer, error) {
	client, err := kgo.NewClient(append(config.Security.Options(),
		kgo.SeedBrokers(config.Brokers...),
		kgo.ClientID("relay"),
		clientLog(config.Log),
		kgo.RequiredAcks(kgo.AllISRAcks()),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	p := newProducer(ctx, client, config, t)
	err = p.takeOver(ctx)
	if err == nil {
		err = p.sender.lookUp(ctx)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	go p.sender.run(ctx)
	return p, nil
}

func newProducer(ctx context.Context, client *kgo.Client, config Config, t Topic) *Producer {
	p := &Producer{
		client: client, topic: t, config: config,
		encoder: topic.NewEncoder(config.Source),
		trace:   newTrace(ctx, config.Log),
		sender:  newSender(client, config, t),
	}
	for n := range t.Partitions {
		p.all = append(p.all, &partition{topic: t.Name, number: int32(n), acked: -1})
	}
	p.all = append(p.all, &partition{topic: config.CheckpointTopic, acked: -1})
	p.partitions, p.checkpoint = p.all[:t.Partitions], p.all[t.Partitions]
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

// Add adds an event to the transaction, and returns its size in bytes. It copies what it needs of the row. It returns an
// error that wraps ErrTooLarge for an event that cannot be published; other errors may be of earlier events.
func (p *Producer) Add(ctx context.Context, row outbox.Row, src topic.Source) (int, error) {
	var err error
	if p.headers, err = p.encoder.Append(p.headers[:0], row, src); err != nil {
		return 0, err
	}
	size := len(row.AggregateID) + len(row.Payload) + len(p.headers)
	if size+frame > int(p.topic.MaxMessageBytes) {
		return 0, fmt.Errorf("%w: event %s of %s %s has %d bytes, max.message.bytes of %s is %d: raise it, then start the relay again",
			ErrTooLarge, row.ID, row.AggregateType, row.AggregateID, size, p.topic.Name, p.topic.MaxMessageBytes)
	}
	to := p.partitions[p.Partition(row.AggregateID)]
	if to.open.count > 0 && len(to.open.records)+size+frame > min(batchBytes, int(p.topic.MaxMessageBytes)) {
		if err := p.sender.wait(ctx, maxQueuedBytes); err != nil {
			return 0, err
		}
		p.sender.enqueue(p.seal(to))
	}
	to.open.add(src.Committed.UnixMilli(), row.AggregateID, row.Payload, p.headers)
	to.last = append(to.last[:0], row.ID...)
	p.trace.add(row, src.Commit, to)
	return size, p.sender.err()
}

// Partition returns where the events with a key go.
func (p *Producer) Partition(key []byte) int { return partitionOf(key, len(p.partitions)) }

// seal finishes the open batch of a partition.
func (p *Producer) seal(to *partition) *sealed {
	b := &sealed{partition: to, count: to.open.count, sequence: to.sequence}
	to.sequence += b.count
	b.wire, p.scratch = to.open.seal(p.sender.memory(), p.scratch)
	p.trace.sealed(b)
	return b
}

// Commit adds the checkpoint to the transaction and commits both (I4). It fills in the checkpoint's last events and returns
// the checkpoint as it was written.
//
// The order is the proof. Were the checkpoint written after the commit, a crash between the two would publish the events
// again; were the acknowledgements not waited for, a transaction that lacks an event would be committed with a checkpoint
// that claims it: the broker commits what it has.
func (p *Producer) Commit(ctx context.Context, cp checkpoint.Record) (checkpoint.Record, error) {
	cp.LastEvents = slices.Clone(cp.LastEvents)
	for i, part := range p.partitions {
		if len(part.last) > 0 {
			cp.LastEvents[i] = string(part.last)
		}
	}
	value, err := cp.Marshal()
	if err != nil {
		return cp, err
	}
	p.checkpoint.open.add(time.Now().UnixMilli(), []byte(cp.Slot), value, noHeaders)
	if err := p.flush(ctx); err != nil {
		return cp, err
	}
	crash.At(crash.Flushed)
	// A commit whose context ends is one that may or may not take place later. So it is not given ours: when that ends,
	// the client is closed, and with it everything that this producer could still do.
	stop := context.AfterFunc(ctx, p.Close)
	defer stop()
	if err := p.endTransaction(context.WithoutCancel(ctx)); err != nil {
		return cp, fmt.Errorf("commit: %w", err)
	}
	for _, part := range p.partitions {
		part.last = part.last[:0]
	}
	p.trace.committed(ctx)
	return cp, nil
}

// noHeaders is a record's count of no headers.
var noHeaders = []byte{0}

// flush sends what was added and waits until the brokers have acknowledged it.
func (p *Producer) flush(ctx context.Context) error {
	var rest []*sealed
	for _, part := range p.all {
		if part.open.count > 0 {
			rest = append(rest, p.seal(part))
		}
	}
	p.sender.enqueue(rest...)
	return p.sender.wait(ctx, 0)
}
