package e2e

import (
	"testing"
	"time"
)

// flushed makes the broker write each batch to the disk before it acknowledges it, whatever the topic: the internal ones,
// which hold the state of transactions and the group's offsets, have no setting of their own.
var flushed = map[string]string{"log.flush.interval.messages": "1"}

// TestPowerLossOfTheOnlyBrokerLosesNothingThatWasFlushed_I4_I8 cuts the power of a broker that flushes, at random moments
// while orders flow. There is nothing to mend.
func TestPowerLossOfTheOnlyBrokerLosesNothingThatWasFlushed_I4_I8(t *testing.T) {
	t.Parallel()
	s := powered(t, flushed)
	dice := s.dice()
	s.flowing(100)
	for range 2 {
		moment, pause := s.written()+dice.Int64N(200), time.Duration(dice.Int64N(int64(50*time.Millisecond)))
		s.until("more events are written", func() bool { return s.written() >= moment })
		<-time.After(pause) // anywhere between two transactions or in one
		s.lose()
		acknowledged := s.applied()
		s.kafka.Start()
		if got := s.committed(); got < acknowledged {
			t.Fatalf("the topic has %d events after the power loss, %d had been read of it", got, acknowledged)
		}
		s.flowing(200)
	}
	s.settle(s.traffic, 1000)
}

// TestPowerLossWithoutFlushIsRefusedAndMendedByRecover_I7 cuts the power of a broker with Kafka's own settings, which
// leave it to the kernel when to write which file. What the kernel has written at the cut is the case.
func TestPowerLossWithoutFlushIsRefusedAndMendedByRecover_I7(t *testing.T) {
	t.Parallel()
	s := powered(t, nil)
	transactions, checkpoints, events := "__transaction_state-*", "*.checkpoint.*", s.topic+"-*"
	s.forgetTransactions(events, checkpoints)
	for _, lost := range []struct {
		name    string
		sync    func()   // writes everything, for the last time before the cut
		written []string // partitions that are written to their end all the same
		live    bool     // the relay runs on meanwhile
		says    string   // the refusal
	}{
		{"everything", s.syncQuiet, nil, true, `gate "ack"`},
		// The relay's producer goes on as if nothing had been, and must notice by itself.
		{"all but the state of transactions", s.syncQuiet, []string{transactions}, true, `gate "ack"`},
		{"events alone", s.syncQuiet, []string{transactions, checkpoints}, true, `gate "tail": partition`},
		// The commit markers are lost: partitions keep a transaction open that nobody will end. (A relay that runs on
		// might, without knowing, when its next one is aborted.)
		{"events alone, inside a transaction", s.syncInside, []string{transactions, checkpoints}, false, "of which no coordinator knows"},
	} {
		acknowledged := s.cut(lost.sync, lost.written, lost.live)
		s.relay.wanted = false
		s.resume()
		refusal := s.refusal(lost.says)
		left := s.committed()
		if left >= acknowledged {
			t.Errorf("%s: the topic still has %d events, %d were acknowledged: nothing was lost", lost.name, left, acknowledged)
		}
		s.until("the projector has raised its alarm", func() bool { return s.projector.metric("projector_partition_stopped") > 0 })
		s.projector.stop()
		s.refill("the broker lost its power")
		s.overtake()
		s.relay.start()
		s.projector.start()
		s.flowing(100)
		s.quiet()
		s.verify(acknowledged)
		if t.Failed() {
			t.Fatalf("wrong after the loss of %s", lost.name)
		}
		t.Logf("lost %s: %d of %d acknowledged events; %s", lost.name, acknowledged-left, acknowledged, refusal)
		s.resume()
	}
}
