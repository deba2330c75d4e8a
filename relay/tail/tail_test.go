package tail_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// log is a topic of one partition, and who writes it.
type log struct {
	t       *testing.T
	brokers []string
	topic   string
	client  *kgo.Client
	next    int // number of the next record
}

func setup(t *testing.T) *log {
	t.Helper()
	brokers := testenv.Broker(t)
	l := &log{t: t, brokers: strings.Split(brokers, ","), topic: testenv.Topic(t, brokers, 1)}
	l.client = l.connect()
	return l
}

func (l *log) connect(opts ...kgo.Opt) *kgo.Client {
	l.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(l.brokers...), kgo.DefaultProduceTopic(l.topic),
		kgo.MetadataMinAge(10*time.Millisecond), kgo.UnknownTopicRetries(-1), kgo.ProducerLinger(0))...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(client.Close)
	return client
}

// write produces so many records and returns their values.
func (l *log) write(client *kgo.Client, n int) []string {
	l.t.Helper()
	var values []string
	var records []*kgo.Record
	for range n {
		value := fmt.Sprint(l.next)
		l.next++
		values, records = append(values, value), append(records, kgo.KeyStringRecord("key", value))
	}
	if err := client.ProduceSync(l.t.Context(), records...).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
	return values
}

// producer begins a transaction.
func (l *log) producer() *kgo.Client {
	l.t.Helper()
	client := l.connect(kgo.TransactionalID(testenv.Name(l.t)))
	if err := client.BeginTransaction(); err != nil {
		l.t.Fatal(err)
	}
	return client
}

func (l *log) end(client *kgo.Client, how kgo.TransactionEndTry) {
	l.t.Helper()
	if err := client.EndTransaction(l.t.Context(), how); err != nil {
		l.t.Fatal(err)
	}
}

// transaction writes so many records and ends the transaction.
func (l *log) transaction(n int, how kgo.TransactionEndTry) []string {
	l.t.Helper()
	client := l.producer()
	values := l.write(client, n)
	l.end(client, how)
	return values
}

func (l *log) open() tail.Partition {
	l.t.Helper()
	partitions, id, err := tail.Open(l.t.Context(), l.client, l.topic)
	if err != nil {
		l.t.Fatal(err)
	}
	if len(partitions) != 1 || id == (kadm.TopicID{}) {
		l.t.Fatalf("%d partitions, topic id %v", len(partitions), id)
	}
	return partitions[0]
}

func scan(ctx context.Context, p tail.Partition, from int64) ([]string, error) {
	var values []string
	err := p.Scan(ctx, from, func(r *kgo.Record) error {
		values = append(values, string(r.Value))
		return nil
	})
	return values, err
}

// holds checks what the whole partition and its last record are.
func (l *log) holds(want []string) {
	l.t.Helper()
	p := l.open()
	got, err := scan(l.t.Context(), p, p.Start)
	if err != nil {
		l.t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		l.t.Errorf("-got +want:\n%s", diff)
	}
	last, err := p.Last(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	switch {
	case len(want) == 0 && last != nil:
		l.t.Errorf("last is %q, want none", last.Value)
	case len(want) > 0 && (last == nil || string(last.Value) != want[len(want)-1]):
		l.t.Errorf("last is %v, want %s", last, want[len(want)-1])
	}
}

func TestEmptyPartitionHasNoRecords(t *testing.T) {
	t.Parallel()
	setup(t).holds(nil)
}

func TestReadingEndsBehindACommitMarker(t *testing.T) {
	t.Parallel()
	l := setup(t)
	want := l.transaction(3, kgo.TryCommit)
	p := l.open()
	for p.End == 3 && t.Context().Err() == nil { // a broker answers before it has written the marker
		p = l.open()
	}
	if p.Start != 0 || p.End != 4 {
		t.Errorf("the log is from %d to %d, want the marker to count", p.Start, p.End)
	}
	l.holds(want)
	want = append(want, l.transaction(1, kgo.TryCommit)...)
	l.holds(want)
}

func TestReadingEndsBehindAnAbortedTransaction(t *testing.T) {
	t.Parallel()
	for _, aborted := range []int{10, 100_000} {
		t.Run(fmt.Sprint(aborted), func(t *testing.T) {
			t.Parallel()
			l := setup(t)
			l.transaction(aborted, kgo.TryAbort)
			l.holds(nil)
			want := l.transaction(2, kgo.TryCommit)
			l.transaction(aborted, kgo.TryAbort)
			l.holds(want)
			want = append(want, l.write(l.client, 1)...)
			l.transaction(1, kgo.TryAbort)
			l.transaction(1, kgo.TryAbort)
			l.holds(want)
		})
	}
}

// More than an answer holds: what is aborted is to be left out of one that was cut off, too.
func TestAbortedRecordsOfALongTransaction(t *testing.T) {
	t.Parallel()
	l := setup(t)
	want := l.write(l.client, 1)
	client := l.producer()
	random := rand.NewChaCha8([32]byte{}) // which no compression makes smaller
	for range 12 {
		value := make([]byte, 700_000)
		_, _ = random.Read(value)
		if err := client.ProduceSync(t.Context(), &kgo.Record{Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	l.end(client, kgo.TryAbort)
	l.holds(append(want, l.write(l.client, 1)...))
}

func TestLastOfALongLogIsFound(t *testing.T) {
	t.Parallel()
	l := setup(t)
	var want []string
	for range 10 {
		want = append(want, l.write(l.client, 500)...)
	}
	l.holds(want)
}

func TestLogThatDoesNotBeginAtZero(t *testing.T) {
	t.Parallel()
	l := setup(t)
	want := append(l.transaction(10, kgo.TryCommit), l.transaction(10, kgo.TryCommit)...) // 0 to 9, 11 to 20
	l.cut(15)
	if p := l.open(); p.Start != 15 || p.End != 22 {
		t.Errorf("the log is from %d to %d", p.Start, p.End)
	}
	l.holds(want[14:])
	if got, err := scan(t.Context(), l.open(), 0); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("what is gone: got %q, %v", got, err)
	}
	l.cut(21)
	l.holds(nil)
	l.cut(22)
	if p := l.open(); p.Start != 22 || p.End != 22 {
		t.Errorf("the log is from %d to %d", p.Start, p.End)
	}
	l.holds(nil)
}

// cut deletes the records below an offset.
func (l *log) cut(at int64) {
	l.t.Helper()
	offsets := make(kadm.Offsets)
	offsets.AddOffset(l.topic, 0, at, -1)
	answers, err := kadm.NewClient(l.client).DeleteRecords(l.t.Context(), offsets)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func TestEndIsWhereTheLogEndedWhenItWasOpened(t *testing.T) {
	t.Parallel()
	l := setup(t)
	want := l.write(l.client, 3)
	p := l.open()
	l.write(l.client, 3)
	if got, err := scan(t.Context(), p, 0); !slices.Equal(got, want) || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if last, err := p.Last(t.Context()); err != nil || string(last.Value) != want[2] {
		t.Errorf("got %v, %v; want %s", last, err, want[2])
	}
}

func TestScanBeginsInTheMiddleAndStopsAtAnError(t *testing.T) {
	t.Parallel()
	l := setup(t)
	want := l.write(l.client, 10) // one batch
	p := l.open()
	if got, err := scan(t.Context(), p, 4); !slices.Equal(got, want[4:]) || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	enough := errors.New("enough")
	var got []string
	err := p.Scan(t.Context(), 0, func(r *kgo.Record) error {
		got = append(got, string(r.Value))
		return enough
	})
	if !errors.Is(err, enough) || len(got) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
}

// A record behind an open transaction is committed, and yet cannot be read before that one has ended. To leave it out
// would be to take an older record for the last.
func TestOpenTransactionOfAnotherIsWaitedFor_I6(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]kgo.TransactionEndTry{"committed": kgo.TryCommit, "aborted": kgo.TryAbort} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := setup(t)
			want := l.write(l.client, 1)
			foreign := l.producer()
			pending := l.write(foreign, 2)
			behind := l.transaction(1, kgo.TryCommit)

			p := l.open()
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			last, err := p.Last(ctx)
			if last != nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "open transaction") {
				t.Errorf("while it is open: got %v, %v", last, err)
			}

			read := make(chan error, 1)
			go func() {
				last, err := p.Last(t.Context())
				if err == nil && (last == nil || string(last.Value) != behind[0]) {
					err = fmt.Errorf("last is %v, want %s", last, behind[0])
				}
				read <- err
			}()
			l.end(foreign, how)
			if err := <-read; err != nil {
				t.Error(err)
			}
			if how == kgo.TryCommit {
				want = append(want, pending...)
			}
			l.holds(append(want, behind...))
		})
	}
}

func TestCompactedLogWithHolesIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	l, compact := setupCompacted(t)
	var want []string
	for range 20 {
		want = l.transaction(5, kgo.TryCommit)
	}
	end := l.open().End
	var got []string
	for len(got) == 0 || len(got) == 100 { // a real broker compacts when it likes
		compact()
		p := l.open() // kfake's log begins at what is left, Kafka's where it did
		var err error
		if got, err = scan(t.Context(), p, p.Start); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) > 100 || got[len(got)-1] != want[4] {
		t.Errorf("%d of 100 records, the last %q; want fewer, the last %q", len(got), got[len(got)-1], want[4])
	}
	p := l.open()
	if p.End < end { // a commit is answered before its marker is in the log
		t.Errorf("the log ends at %d, ended at %d", p.End, end)
	}
	if last, err := p.Last(t.Context()); err != nil || string(last.Value) != want[4] {
		t.Errorf("got %v, %v; want %s", last, err, want[4])
	}
}

// setupCompacted makes a topic whose every transaction may begin a segment, and says how to have it compacted.
func setupCompacted(t *testing.T) (l *log, compact func()) {
	t.Helper()
	settings := map[string]string{
		"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "1", "max.compaction.lag.ms": "1",
	}
	l = &log{t: t, topic: testenv.Name(t)}
	if os.Getenv("BROKER") != "kafka" {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		if err := cluster.CreateTopic(l.topic, 1, settings); err != nil {
			t.Fatal(err)
		}
		l.brokers = cluster.ListenAddrs()
		l.client = l.connect()
		return l, cluster.Compact
	}
	l.brokers = strings.Split(testenv.Broker(t), ",")
	l.client = l.connect()
	admin := kadm.NewClient(l.client)
	pointers := make(map[string]*string)
	for name, value := range settings {
		pointers[name] = &value
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, pointers, l.topic); err != nil {
		t.Fatal(err)
	}
	testenv.AwaitTopic(t, l.client, l.topic)
	t.Cleanup(func() {
		if _, err := admin.DeleteTopics(context.Background(), l.topic); err != nil {
			t.Error(err)
		}
	})
	tick := time.NewTicker(200 * time.Millisecond)
	t.Cleanup(tick.Stop)
	return l, func() { <-tick.C }
}

func TestPartitionsComeInOrder(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	l := &log{t: t, brokers: strings.Split(brokers, ","), topic: testenv.Topic(t, brokers, 12)}
	client := l.connect(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for n := range int32(12) {
		for range n {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Partition: n}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	partitions, _, err := tail.Open(t.Context(), client, l.topic)
	if err != nil {
		t.Fatal(err)
	}
	for n, p := range partitions {
		if p.End != int64(n) {
			t.Errorf("partition %d ends at %d", n, p.End)
		}
	}
}

func TestMissingTopicIsAnError(t *testing.T) {
	t.Parallel()
	l := setup(t)
	if _, _, err := tail.Open(t.Context(), l.client, testenv.Name(t)); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("got %v", err)
	}
}
