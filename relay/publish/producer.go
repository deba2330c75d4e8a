// Package publish writes events and the checkpoint that they lead to into Kafka, in one transaction (I4).
//
// A Producer promises that of two with the same transactional id only the newer can commit (I6), that a transaction with
// a record that failed is never committed, nor one that would hide that the broker lost records of an earlier one (I7),
// and that Commit returns nil only when the broker has said so. It does not promise that a Commit which returned an error
// did not take place: nobody can know. After any error the Producer is of no more use; the next one's start ends what this
// one left open, and the checkpoint tells what was committed.
package publish

import (
	"cmp"
	"context"
	"encoding/binary"
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
	// linger keeps the records of a small transaction together in one request. It is longer than any transaction is open and
	// delays nothing: what is buffered is sent when it fills a request, when Add blocks, and when the transaction ends.
	// Were it shorter, a request would be sent before all is there, and if the broker puts that one off, as it may while it
	// still ends the transaction before, it refuses those behind it as out of order; they are sent again, and each such
	// refusal is an error line in its log.
	linger = 5 * time.Second
	// maxBufferedBytes bounds the records that wait for the broker's answer; Add blocks above it.
	maxBufferedBytes = 8 << 20
	// envelope is what a record may take besides its key, value and headers: batch and record framing, generously.
	envelope = 1024
	// headerEnvelope is what a header may take besides its name and value: their lengths.
	headerEnvelope = 2 * binary.MaxVarintLen32
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
	client      *kgo.Client
	topic       Topic
	config      Config
	partitioner kgo.TopicPartitioner
	last        [][]byte // per partition, the id of the last event added
	trace       trace

	mu     sync.Mutex          // guards what follows
	failed error               // the first error of any record
	acked  map[partition]int64 // the offset of the last record that the broker has acknowledged

	close sync.Once
}

type partition struct {
	topic  string
	number int32
}

// Open makes the producer and takes the transactional id over, which fences its predecessor and aborts what that one
// left open.
func Open(ctx context.Context, config Config, t Topic) (*Producer, error) {
	for {
		client, err := takeOver(ctx, config, t)
		if err != nil {
			return nil, err
		}
		epoch, behind, err := overtaken(ctx, client, t.Name, config.CheckpointTopic)
		if err == nil && !behind {
			return newProducer(ctx, client, config, t), nil
		}
		if err == nil {
			config.Log.Warn("the broker gave out an epoch again", "topic", t.Name)
			err = overtake(ctx, client, config.TransactionalID, epoch)
		}
		client.Close()
		if err != nil {
			return nil, err
		}
	}
}

func newProducer(ctx context.Context, client *kgo.Client, config Config, t Topic) *Producer {
	return &Producer{
		client: client,
		topic:  t,
		config: config,
		// The partitioner that the client would use by default, and Java's: murmur2 of the key. It is asked here, because
		// the checkpoint names the last event of each partition before the broker has answered.
		partitioner: kgo.StickyKeyPartitioner(nil).ForTopic(t.Name),
		last:        make([][]byte, t.Partitions),
		trace:       newTrace(ctx, config.Log),
		acked:       make(map[partition]int64),
	}
}

// takeOver takes the transactional id over. (franz-go would do so only with the first record.)
func takeOver(ctx context.Context, config Config, t Topic) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(config.Security.Options(),
		kgo.SeedBrokers(config.Brokers...),
		kgo.ClientID("relay"),
		clientLog(config.Log),
		kgo.TransactionalID(config.TransactionalID),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(linger),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(t.MaxMessageBytes),
		kgo.MaxBufferedBytes(max(maxBufferedBytes, 2*int(t.MaxMessageBytes))),
		kgo.MaxBufferedRecords(1<<20), // the bytes are the bound
		kgo.ConcurrentTransactionsBackoff(time.Millisecond),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, takeOverWithin, errStuck)
	defer cancel()
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("take over transactional id %s: %w", config.TransactionalID, cmp.Or(context.Cause(ctx), err))
	}
	return client, nil
}

// Close ends the client. Calls under way return an error.
func (p *Producer) Close() {
	p.close.Do(p.client.Close)
}

// Begin starts a transaction.
func (p *Producer) Begin() error {
	if err := p.client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	return nil
}

// Add adds an event to the transaction, and returns its size in bytes. The row's memory belongs to the producer until
// Commit returns. It returns an error that wraps ErrTooLarge for an event that cannot be published; other errors may be
// of earlier events.
func (p *Producer) Add(ctx context.Context, row outbox.Row, src topic.Source) (int, error) {
	src.Name = p.config.Source
	r, err := topic.Record(p.topic.Name, row, src)
	if err != nil {
		return 0, err
	}
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + headerEnvelope
	}
	if size+envelope > int(p.topic.MaxMessageBytes) {
		return 0, fmt.Errorf("%w: event %s of %s %s has %d bytes, max.message.bytes of %s is %d: raise it, then start the relay again",
			ErrTooLarge, row.ID, row.AggregateType, row.AggregateID, size, p.topic.Name, p.topic.MaxMessageBytes)
	}
	r.Partition = int32(p.Partition(r.Key))
	p.last[r.Partition] = row.ID
	p.trace.add(row, src.Commit, r)
	p.client.Produce(ctx, r, p.promise)
	return size, p.err()
}

// Partition returns where the events with a key go.
func (p *Producer) Partition(key []byte) int {
	return p.partitioner.Partition(&kgo.Record{Key: key}, p.topic.Partitions)
}

// Commit adds the checkpoint as the transaction's last record and commits both (I4). It fills in the checkpoint's last
// events and returns the checkpoint as it was written.
//
// The order is the proof. Were the checkpoint written after the commit, a crash between the two would publish the events
// again; were the failures looked at after it, a transaction that lacks an event would be committed with a checkpoint
// that claims it: franz-go commits what succeeded (its EndTransaction does not ask about the rest).
func (p *Producer) Commit(ctx context.Context, cp checkpoint.Record) (checkpoint.Record, error) {
	cp.LastEvents = slices.Clone(cp.LastEvents)
	for i, id := range p.last {
		if id != nil {
			cp.LastEvents[i] = string(id)
		}
	}
	value, err := cp.Marshal()
	if err != nil {
		return cp, err
	}
	p.client.Produce(ctx, &kgo.Record{Topic: p.config.CheckpointTopic, Key: []byte(cp.Slot), Value: value}, p.promise)
	if err := p.client.Flush(ctx); err != nil {
		return cp, fmt.Errorf("flush: %w", err)
	}
	if err := p.err(); err != nil {
		return cp, err
	}
	crash.At(crash.Flushed)
	// A commit whose context ends is one that may or may not take place later. So it is not given ours: when that ends,
	// the client is closed, and with it everything that this producer could still do.
	stop := context.AfterFunc(ctx, p.Close)
	defer stop()
	if err := p.client.EndTransaction(context.WithoutCancel(ctx), kgo.TryCommit); err != nil {
		return cp, fmt.Errorf("commit: %w", err)
	}
	clear(p.last)
	p.trace.committed(ctx)
	return cp, nil
}

// promise takes the broker's answer for a record. The answers of a partition come in the order of its records.
//
// A broker without replicas can come back from a power loss with a shorter log, and this producer's session goes on as if
// nothing had been: the gates are looked at at a start only. But nobody else writes to these topics, so offsets only rise,
// and where one does not, records before it are gone. Committed, the transaction would hide them behind its checkpoint.
func (p *Producer) promise(r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := partition{r.Topic, r.Partition}
	last, known := p.acked[at]
	switch {
	case err != nil:
		err = fmt.Errorf("produce: %w", err)
	case known && r.Offset <= last:
		err = fmt.Errorf("%w: %s/%d took a record at offset %d, after offset %d", ErrLogCut, r.Topic, r.Partition, r.Offset, last)
	default:
		p.acked[at] = r.Offset
	}
	if p.failed == nil {
		p.failed = err
	}
}

func (p *Producer) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}
