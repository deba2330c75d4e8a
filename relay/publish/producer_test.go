package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

func TestEventsAndTheirCheckpointAreCommittedTogether_I4(t *testing.T) {
	t.Parallel()
	k := setup(t)
	p := k.open()
	first, second := k.rows(0, 1, 1), k.rows(2, 1)

	k.add(p, first)
	cp, err := p.Commit(t.Context(), k.checkpoint(1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cp.Topics[k.topic.Name].Last, []string{string(first[0].ID), string(first[2].ID), ""}); diff != "" {
		t.Errorf("last events (-got +want):\n%s", diff)
	}
	k.add(p, second)
	before := cp
	cp.Events = 2
	if cp, err = p.Commit(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	if got := before.Topics[k.topic.Name].Last[2]; got != "" {
		t.Errorf("the checkpoint before was written to: %q", got) // others may be reading it
	}

	got, _, err := checkpoint.Read(t.Context(), k.client, k.config.CheckpointTopic)
	if diff := cmp.Diff(got, cp); diff != "" || err != nil {
		t.Errorf("the checkpoint in the topic, %v (-got +want):\n%s", err, diff)
	}
	last, err := LastEvents(t.Context(), k.client, k.topic.Name)
	want := []string{string(first[0].ID), string(second[1].ID), string(second[0].ID)}
	if diff := cmp.Diff(last, want); diff != "" || err != nil {
		t.Errorf("last events in the topic, %v (-got +want):\n%s", err, diff)
	}
	if diff := cmp.Diff(cp.Topics[k.topic.Name].Last, want); diff != "" {
		t.Errorf("last events in the checkpoint (-got +want):\n%s", diff)
	}
	k.holds(first, second)
}

func TestCheckpointAloneCanBeCommitted(t *testing.T) {
	t.Parallel()
	k := setup(t)
	p := k.open()
	k.add(p, nil)
	if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	k.holds(nil)
}

// The client commits what succeeded, if it is asked to. Asked here, it would commit a checkpoint that claims an event
// which the topic does not have.
func TestTransactionWithARecordThatFailedIsNeverCommitted_I4(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]kfake.Fault{
		"the last of three events": {Topic: "events", Partitions: []int32{2}, Err: kerr.InvalidRecord},
		"the checkpoint":           {Topic: "events.checkpoint.slot", Err: kerr.MessageTooLarge},
		"without a reason":         {Topic: "events", Partitions: []int32{2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, cluster := setupFaulty(t)
			fault.Keys, fault.Count = []kmsg.Key{kmsg.Produce}, -1
			handle := cluster.Fault(fault)
			p := k.open()
			if err := p.Begin(); err != nil {
				t.Fatal(err)
			}
			for i, row := range k.rows(0, 1, 2) {
				if _, err := p.Add(t.Context(), row, source); err != nil && i < 2 { // of the third, it may be known already
					t.Fatal(err)
				}
			}
			if cp, err := p.Commit(t.Context(), k.checkpoint(1)); err == nil {
				t.Errorf("committed %+v", cp)
			}
			if handle.Hits() == 0 {
				t.Error("nothing failed")
			}
			handle.Remove()
			p.Close()
			k.holds()
		})
	}
}

// After a commit whose answer is lost nobody knows. The next producer and the checkpoint do.
func TestCommitWithoutAnAnswerIsDecidedByTheCheckpoint_I4(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var answers silencer
			k, cluster := setupFaulty(t, kfake.ListenFn(answers.listen))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
				if applied {
					answers.lost(cancel) // the relay gives up when the answer is on its way
					return nil, nil, false
				}
				cluster.KeepControl() // the client tries again until it is closed
				cancel()
				return nil, errors.New("connection closed"), true
			})
			p := k.open()
			rows := k.rows(0, 1)
			k.add(p, rows)
			if cp, err := p.Commit(ctx, k.checkpoint(1)); err == nil {
				t.Errorf("committed %+v", cp)
			}
			answers.lost(nil)
			if applied {
				k.holds(rows)
			} else {
				k.holds()
			}
		})
	}
}

// silencer loses what a broker answers, on all of its connections.
type silencer struct {
	told atomic.Pointer[func()]
}

// lost loses answers from now on and calls told instead of each; nil lets them through again.
func (s *silencer) lost(told func()) {
	if told == nil {
		s.told.Store(nil)
		return
	}
	s.told.Store(&told)
}

func (s *silencer) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return silencedListener{l, s}, err
}

type silencedListener struct {
	net.Listener

	s *silencer
}

func (l silencedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return silencedConn{conn, l.s}, err
}

type silencedConn struct {
	net.Conn

	s *silencer
}

func (c silencedConn) Write(b []byte) (int, error) {
	if told := c.s.told.Load(); told != nil {
		(*told)()
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func TestCommitGivesUpWithItsContextWhileKafkaIsAway(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cancel()
		return nil, errors.New("away"), true
	})
	p := k.open()
	k.add(p, nil)
	if _, err := p.Commit(ctx, k.checkpoint(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSecondProducerFencesTheFirst_I6(t *testing.T) {
	t.Parallel()
	for name, inTransaction := range map[string]bool{"with a transaction open": true, "between transactions": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			paused := k.open()
			k.latest(paused, true)
			lost := k.rows(0, 1, 2)
			if inTransaction {
				k.add(paused, lost)
				if err := flush(t.Context(), paused); err != nil {
					t.Fatal(err)
				}
			}

			successor := k.open()
			rows := k.rows(0, 1, 2)
			k.add(successor, rows)
			k.latest(successor, true) // its transaction is open
			if _, err := successor.Commit(t.Context(), k.checkpoint(1)); err != nil {
				t.Fatal(err)
			}
			k.latest(successor, true)
			k.latest(paused, false)

			err := error(nil)
			if !inTransaction {
				err = paused.Begin()
			}
			for _, row := range k.rows(0, 1) {
				if err == nil {
					_, err = paused.Add(t.Context(), row, source)
				}
			}
			if err == nil {
				_, err = paused.Commit(t.Context(), k.checkpoint(9))
			}
			if err == nil {
				t.Error("the first one committed")
			}

			more := k.rows(0)
			k.add(successor, more)
			if _, err := successor.Commit(t.Context(), k.checkpoint(2)); err != nil {
				t.Errorf("the second one after the first one's attempt: %v", err)
			}
			k.holds(rows, more)
		})
	}
}

func TestSuccessorEndsWhatItsPredecessorLeftOpen_I6(t *testing.T) {
	t.Parallel()
	k := setup(t)
	dead := k.open()
	k.add(dead, k.rows(0, 1, 2))
	if err := flush(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	k.open()
	ctx, cancel := context.WithTimeout(t.Context(), transactionTimeout/2) // after all of it the broker ends it itself
	defer cancel()
	if last, err := LastEvents(ctx, k.client, k.topic.Name); err != nil || strings.Join(last, "") != "" {
		t.Errorf("got %q, %v", last, err)
	}
	dead.Close()
	k.holds()
}

func TestEventThatIsTooLargeIsRefusedBeforeItIsProduced(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.topic.MaxMessageBytes = 20_000
	p := k.open()
	if err := p.Begin(); err != nil {
		t.Fatal(err)
	}
	row := k.rows(0)[0]
	row.Payload = bytes.Repeat([]byte("x"), 20_000)
	_, err := p.Add(t.Context(), row, source)
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), string(row.ID)) || !strings.Contains(err.Error(), "20000: raise it") {
		t.Errorf("got %v", err)
	}
	if to := p.only.partitions[0]; to.open.count != 0 || to.last != nil {
		t.Error("it was produced")
	}
}

// What Add lets through, the broker takes: the rest of a record is reckoned with, however many headers it has.
func TestEventThatIsNotTooLargeIsTaken(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.topic.MaxMessageBytes = 20_000
	p := k.open()
	var largest int
	for _, headers := range []int{0, 1, 1000} {
		row := k.rows(0)[0]
		var pairs []string
		for n := range headers {
			pairs = append(pairs, fmt.Sprintf(`"%d":""`, n))
		}
		row.Headers = []byte("{" + strings.Join(pairs, ",") + "}")
		random := rand.NewChaCha8([32]byte{}) // which no compression makes smaller
		if err := p.Begin(); err != nil {
			t.Fatal(err)
		}
		for size := 20_000; ; size -= 10 {
			row.Payload = make([]byte, size)
			_, _ = random.Read(row.Payload)
			n, err := p.Add(t.Context(), row, source)
			if err == nil {
				largest = max(largest, n)
				break
			}
			if !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
		}
		if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
			t.Errorf("%d headers and a payload of %d bytes: %v", headers, len(row.Payload), err)
		}
	}
	if largest < 18_000 {
		t.Errorf("the largest had %d bytes", largest)
	}
}

func TestRowThatHasNoRecordIsAnError(t *testing.T) {
	t.Parallel()
	k := setup(t)
	p := k.open()
	row := k.rows(0)[0]
	row.Headers = []byte("[]")
	if err := p.Begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Add(t.Context(), row, source); err == nil || !strings.Contains(err.Error(), string(row.ID)) {
		t.Errorf("got %v", err)
	}
}

// The hashes are those of Kafka's own UtilsTest.testMurmur2; the partition is Java's toPositive(hash) % partitions.
func TestPartitionIsTheOneThatJavaChooses(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 3, 12} {
		for key, hash := range map[string]int32{
			"21":                         -973932308,
			"foobar":                     -790332482,
			"a-little-bit-long-string":   -985981536,
			"a-little-bit-longer-string": -1486304829,
			"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
			"abc": 479470107,
		} {
			if got, want := partitionOf([]byte(key), partitions), int(hash&0x7fffffff)%partitions; got != want {
				t.Errorf("%q of %d partitions: got %d, want %d", key, partitions, got, want)
			}
		}
	}
}
