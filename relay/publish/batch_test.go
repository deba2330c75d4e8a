package publish

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// read reads a batch as a consumer does.
func read(wire []byte) ([]*kgo.Record, kmsg.RecordBatch, error) {
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(wire); err != nil {
		return nil, batch, err
	}
	answer := kmsg.FetchResponseTopicPartition{RecordBatches: wire, HighWatermark: 1 << 40, LastStableOffset: 1 << 40}
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{IsolationLevel: kgo.ReadCommitted()}, &answer, kgo.DefaultDecompressor(), nil)
	return fetched.Records, batch, fetched.Err
}

// A batch is read as it was written by franz-go, which was not written from this code.
func TestBatchIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	var (
		o             open
		wire, scratch []byte
	)
	rapid.Check(t, func(t *rapid.T) {
		encoder := topic.NewEncoder("/orders")
		text := rapid.SliceOfN(rapid.Byte(), 0, 300)
		want := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *kgo.Record {
			row := outbox.Row{
				Seq: []byte("1"), ID: text.Draw(t, "id"), AggregateID: text.Draw(t, "key"), Type: []byte("t"), Version: []byte("1"),
				Payload: text.Draw(t, "payload"), OccurredAt: []byte("2026-11-23 04:22:00+00"),
			}
			at := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time"))
			r, err := topic.Record("", row, topic.Source{Name: "/orders", Committed: at})
			if err != nil {
				t.Fatal(err)
			}
			headers, err := encoder.Append(nil, row, topic.Source{})
			if err != nil {
				t.Fatal(err)
			}
			v := value{payload: row.Payload}
			if rapid.Bool().Draw(t, "registry") {
				v.prefix = []byte{0, 1, 2, 3, 4}
				r.Value = append(bytes.Clone(v.prefix), row.Payload...)
			}
			o.add(at.UnixMilli(), r.Key, v, headers)
			return r
		}), 1, 100).Draw(t, "records")
		s := sealed{count: o.count, sequence: rapid.Int32Min(0).Draw(t, "sequence")}
		wire, scratch = o.seal(wire, scratch)
		s.wire = wire
		s.number(7, 6) // and again: a batch is numbered each time that it is sent
		s.number(1<<40, 3)

		got, batch, err := read(s.wire)
		if err != nil || len(got) != len(want) || o.count != 0 || len(o.records) != 0 {
			t.Fatalf("%d records, %v; want %d; left open: %d", len(got), err, len(want), o.count)
		}
		var top int64
		for i, r := range want {
			top = max(top, r.Timestamp.UnixMilli())
			if g := got[i]; !bytes.Equal(g.Key, r.Key) || !bytes.Equal(g.Value, r.Value) || !g.Timestamp.Equal(r.Timestamp) || g.Offset != int64(i) {
				t.Fatalf("record %d: got %+v, want %+v", i, g, r)
			}
			if diff := cmp.Diff(got[i].Headers, r.Headers); diff != "" {
				t.Fatalf("headers of record %d (-got +want):\n%s", i, diff)
			}
		}
		if batch.ProducerID != 1<<40 || batch.ProducerEpoch != 3 || batch.FirstSequence != s.sequence || batch.MaxTimestamp != top ||
			int(batch.LastOffsetDelta) != len(want)-1 || batch.Attributes&transactional == 0 || int(batch.Length) != len(s.wire)-12 {
			t.Errorf("batch of %d: %+v", len(want), batch)
		}
	})
}

// A large batch is compressed in blocks, which records need not keep to.
func TestRecordsMayLieAcrossBlocks(t *testing.T) {
	t.Parallel()
	var o open
	noise := make([]byte, snappyBlock/3)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise[:len(noise)/2])
	const records = 50
	for n := range records {
		o.add(int64(n), fmt.Append(nil, n), value{payload: noise[n:]}, noHeaders)
	}
	s := sealed{count: records}
	s.wire, _ = o.seal(nil, nil)
	s.number(1, 1)
	got, batch, err := read(s.wire)
	if err != nil || len(got) != records || batch.Attributes != transactional|snappy || len(s.wire) > records*len(noise)*2/3 {
		t.Fatalf("%d records, %v, attributes %x, %d bytes", len(got), err, batch.Attributes, len(s.wire))
	}
	for n, r := range got {
		if string(r.Key) != fmt.Sprint(n) || !bytes.Equal(r.Value, noise[n:]) {
			t.Fatalf("record %d is another one", n)
		}
	}
}

// What does not become smaller is sent as it is.
func TestBatchThatCannotBeCompressedIsNot(t *testing.T) {
	t.Parallel()
	var o open
	noise := make([]byte, 10_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	o.add(1, []byte("k"), value{payload: noise}, noHeaders)
	s := sealed{count: 1}
	s.wire, _ = o.seal(nil, nil)
	s.number(1, 1)
	got, batch, err := read(s.wire)
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, noise) || batch.Attributes != transactional {
		t.Errorf("%d records, %v, attributes %x", len(got), err, batch.Attributes)
	}
}

func TestLengthOfAVarint(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		if got, want := varint(n), len(binary.AppendVarint(nil, n)); got != want {
			t.Errorf("%d: got %d, want %d", n, got, want)
		}
	})
}

// benchmarked are a thousand rows, as they come from the log.
func benchmarked() (rows []outbox.Row) {
	for n := range 1000 {
		rows = append(rows, outbox.Row{
			Seq: fmt.Append(nil, n), ID: []byte(uuid.NewString()), AggregateID: []byte(uuid.NewString()),
			Type: []byte("order.ready.v1"), Version: []byte("3"), OccurredAt: []byte("2026-11-23 04:22:00.123456+00"),
			Payload: fmt.Appendf(nil, `{"order":"%s","amount":%d,"note":"%x"}`, uuid.NewString(), n, rand.Perm(30)),
			Headers: fmt.Appendf(nil, `{"actor":"kitchen","correlation_id":"%s","traceparent":"00-%x-01"}`, uuid.NewString(), rand.Perm(24)),
		})
	}
	return rows
}

// registered is what a registry that knows the types of all events has made of it.
func registered() topic.Schemas {
	ids := make(map[string]uint32)
	for n, data := range event.Versions() {
		ids[string(data.Type())] = uint32(n)
	}
	return topic.NewSchemas(ids)
}

// BenchmarkBatch is what a row costs the relay from when it is decoded to when its batch is ready to be sent.
func BenchmarkBatch(b *testing.B) {
	for name, schemas := range map[string]topic.Schemas{"plain": nil, "registry": registered()} {
		b.Run(name, func(b *testing.B) {
			p := &Producer{config: Config{Layout: layout.Own(), Schemas: schemas}, encoder: topic.NewEncoder("/orders")}
			var (
				o             open
				wire, scratch []byte
				rows          = benchmarked()
			)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				row := rows[n%len(rows)]
				p.headers, _ = p.encoder.Append(p.headers[:0], row, source)
				at, v, err := p.shape(row, source)
				if err != nil {
					b.Fatal(err)
				}
				o.add(at.UnixMilli(), row.AggregateID, v, p.headers)
				if len(o.records) > batchBytes {
					wire, scratch = o.seal(wire, scratch)
				}
			}
		})
	}
}

//nolint:paralleltest // AllocsPerRun counts what the whole process allocates
func TestARowAllocatesNothingWithOrWithoutARegistry(t *testing.T) {
	rows := benchmarked()
	for name, schemas := range map[string]topic.Schemas{"plain": nil, "registry": registered()} {
		p := &Producer{config: Config{Layout: layout.Own(), Schemas: schemas}, encoder: topic.NewEncoder("/orders")}
		o, n := open{records: make([]byte, 0, 2*batchBytes)}, 0
		got := testing.AllocsPerRun(500, func() {
			row := rows[n%len(rows)]
			n++
			p.headers, _ = p.encoder.Append(p.headers[:0], row, source)
			at, v, err := p.shape(row, source)
			if err != nil {
				t.Fatal(err)
			}
			o.add(at.UnixMilli(), row.AggregateID, v, p.headers)
		})
		if got != 0 {
			t.Errorf("%s: %v allocations a row, want none", name, got)
		}
	}
}
