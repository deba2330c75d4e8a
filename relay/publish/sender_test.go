package publish

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// bulk is a transaction of several record batches for each partition: half of it noise, which cannot be compressed.
func (k *target) bulk(batches int) []outbox.Row {
	k.t.Helper()
	const size = 100_000
	var rows []outbox.Row
	for range batches * batchBytes / size {
		for _, row := range k.rows(0, 1, 2) {
			row.Payload = make([]byte, size)
			_, _ = rand.NewChaCha8([32]byte{}).Read(row.Payload[:size/2])
			rows = append(rows, row)
		}
	}
	return rows
}

// What comes behind a batch that was put off would be refused as out of order, and is an error in the broker's log. So
// nothing is sent, and what is sent again has the place that it had.
func TestNothingIsSentBehindABatchThatIsPutOff(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	expected := make(map[int32]int32) // per partition, the sequence number that may come next
	refused := 0
	putOff := cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: "events", Partitions: []int32{1}, Err: kerr.ConcurrentTransactions, Count: 3,
	})
	wrong := cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1,
		When: func(request kmsg.Request) bool {
			for _, asked := range request.(*kmsg.ProduceRequest).Topics {
				if uuid.UUID(asked.TopicID).String() != k.topic.ID {
					continue // the checkpoint's
				}
				for _, part := range asked.Partitions {
					first := int32(binary.BigEndian.Uint32(part.Records[atBaseSequence:]))
					if first > expected[part.Partition] {
						return true
					}
					if part.Partition == 1 && refused < 3 {
						refused++
						continue
					}
					expected[part.Partition] = first + int32(binary.BigEndian.Uint32(part.Records[atCount:]))
				}
			}
			return false
		},
	})
	p := k.open()
	rows := k.bulk(4)
	k.add(p, rows)
	if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	if putOff.Hits() != 3 || wrong.Hits() != 0 || expected[1] == 0 {
		t.Errorf("put off %d times, want 3; %d requests came before their turn", putOff.Hits(), wrong.Hits())
	}
	k.holds(rows)
}

// While a transaction is being sent and committed the next one is filled, and nothing of it is sent before.
func TestTransactionsAreSentOneAfterTheOther_I4(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	begun, sent := make(chan struct{}), make(chan struct{})
	var once sync.Once
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		once.Do(func() {
			close(begun)
			cluster.SleepControl(func() { <-sent })
		})
		return nil, nil, false
	})
	epochs := make(map[int16][]int32) // the partitions that were written to, in each producer epoch
	cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1,
		When: func(request kmsg.Request) bool {
			for _, asked := range request.(*kmsg.ProduceRequest).Topics {
				for _, part := range asked.Partitions {
					epoch := int16(binary.BigEndian.Uint16(part.Records[atProducerEpoch:]))
					if uuid.UUID(asked.TopicID).String() == k.topic.ID && !slices.Contains(epochs[epoch], part.Partition) {
						epochs[epoch] = append(epochs[epoch], part.Partition)
					}
				}
			}
			return false
		},
	})
	p := k.open()
	first := k.rows(0)
	k.add(p, first)
	if _, err := p.End(t.Context(), k.checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	<-begun
	second := slices.DeleteFunc(k.bulk(2), func(r outbox.Row) bool { return k.topic.Partition(r.AggregateID) == 0 })
	k.add(p, second)
	close(sent)
	if _, err := p.End(t.Context(), k.checkpoint(2)); err != nil {
		t.Fatal(err)
	}
	for n := range int64(2) {
		if r := <-p.Results(); r.Err != nil || r.Checkpoint.Events != n+1 {
			t.Errorf("got checkpoint %d, %v; want %d", r.Checkpoint.Events, r.Err, n+1)
		}
	}
	for epoch, partitions := range epochs {
		if len(epochs) != 2 || slices.Contains(partitions, 0) != (len(partitions) == 1) {
			t.Errorf("with epoch %d to partitions %v, want one transaction to 0 and one to 1 and 2", epoch, partitions)
		}
	}
	k.holds(first, second)
}

func TestCoordinatorThatIsNotDoneYetIsAskedAgain(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	missing := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 20})
	defer func() {
		if missing.Hits() != 20 {
			t.Errorf("a coordinator was asked for %d times in vain, want 20", missing.Hits())
		}
	}()
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.EndTxn} {
		handle := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, TopLevel: true, Err: kerr.ConcurrentTransactions, Count: 5})
		defer func() {
			if handle.Hits() != 5 {
				t.Errorf("%v was put off %d times, want 5", key, handle.Hits())
			}
		}()
	}
	p := k.open()
	rows := k.rows(0, 1)
	k.add(p, rows)
	if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	k.holds(rows)
}

// A request that is answered with an error may have been carried out. It is sent again as it was, and counts once.
func TestRequestThatIsSentAgainCountsOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*kerr.Error{
		"carried out":     kerr.RequestTimedOut, // which kfake answers when it has appended
		"not carried out": kerr.NotLeaderForPartition,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, cluster := setupFaulty(t)
			handle := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fault, Count: 2})
			p := k.open()
			first, second := k.bulk(2), k.rows(0, 1, 2)
			for n, rows := range [][]outbox.Row{first, second} {
				k.add(p, rows)
				if _, err := p.Commit(t.Context(), k.checkpoint(int64(n+1))); err != nil {
					t.Fatal(err)
				}
			}
			if handle.Hits() != 2 {
				t.Errorf("%d faults, want 2", handle.Hits())
			}
			k.holds(first, second)
		})
	}
}

func TestConnectionThatBreaksIsMadeAnew(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	broken := 0
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if broken++; broken > 2 {
			return nil, nil, false
		}
		cluster.KeepControl()
		return nil, errors.New("broken"), true
	})
	p := k.open()
	rows := k.rows(0, 1, 2)
	k.add(p, rows)
	if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	k.holds(rows)
}

func TestPartitionsAreFollowedToTheirNewLeaders(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t, kfake.NumBrokers(3))
	p := k.open()
	var all [][]outbox.Row
	for n := range int32(6) {
		for partition := range int32(3) {
			if err := cluster.MoveTopicPartition("events", partition, (n+partition)%3); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, k.rows(0, 1, 2))
		k.add(p, all[n])
		if _, err := p.Commit(t.Context(), k.checkpoint(int64(n+1))); err != nil {
			t.Fatal(err)
		}
	}
	k.holds(all...)
}

// A topic that was deleted and made again has the same name and none of the events. A producer that went on would leave
// a gap that nobody sees; a start looks at the topic's id (I7).
func TestTopicThatWasMadeAgainIsNotWrittenTo_I7(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"made again": true, "deleted": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, _ := setupFaulty(t)
			p := k.open()
			k.add(p, k.rows(0))
			if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
				t.Fatal(err)
			}
			admin := kadm.NewClient(k.client)
			if _, err := admin.DeleteTopics(t.Context(), "events"); err != nil {
				t.Fatal(err)
			}
			if again {
				if _, err := admin.CreateTopics(t.Context(), 3, 1, nil, "events"); err != nil {
					t.Fatal(err)
				}
			}
			k.add(p, k.rows(0))
			if cp, err := p.Commit(t.Context(), k.checkpoint(2)); err == nil || !strings.Contains(err.Error(), "topic events is") {
				t.Errorf("committed %+v, error %v", cp, err)
			}
		})
	}
}

// While the broker does not answer, memory is bounded: Add waits, and gives up with its context.
func TestAddWaitsForABrokerThatIsSlow(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := k.open()
	hold := make(chan struct{})
	defer close(hold)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() {
			cancel()
			<-hold
		})
		return nil, nil, false
	})
	if err := p.Begin(); err != nil {
		t.Fatal(err)
	}
	var err error
	added := 0
	for _, row := range k.bulk(2 * maxQueuedBytes / batchBytes) {
		var n int
		if n, err = p.Add(ctx, row, source); err != nil {
			break
		}
		added += n
	}
	if most := 2*maxQueuedBytes + 4*batchBytes; !errors.Is(err, context.Canceled) || added > most {
		t.Errorf("%d bytes were added, want at most %d; then %v", added, most, err)
	}
}
