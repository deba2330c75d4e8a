package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

// poweredSystem is a pipeline whose only broker lies on a volume of its own.
type poweredSystem struct {
	*pipeline

	volume                    *testenv.Volume
	kafka                     *testenv.KafkaServer
	relay, projector, traffic *program
}

// powered starts one. What formatting a broker's directory writes is not flushed by Kafka, whatever its settings: a broker
// that loses its power in its first half minute may not start again.
func powered(t *testing.T, properties map[string]string) *poweredSystem {
	t.Helper()
	volume := testenv.NewVolume(t)
	kafka := testenv.KafkaOn(t, volume, properties)
	volume.Sync()
	p := setup(t, kafka.Address())
	s := &poweredSystem{pipeline: p, volume: volume, kafka: kafka, relay: p.relay("relay"), projector: p.projector("projector")}
	s.traffic = p.traffic(20)
	p.until("orders are taken", s.traffic.ready)
	return s
}

// lose cuts the broker's power and leaves what had got to the disk by then.
func (s *poweredSystem) lose() {
	s.Helper()
	s.volume.CutPower()
	s.kafka.Kill()
	s.volume.Restore()
}

// quiet stops the traffic and waits until all of it has arrived, so that no transaction is open.
func (s *poweredSystem) quiet() {
	s.Helper()
	s.traffic.stop()
	s.until("everything has arrived", func() bool { return s.applied() == s.written() })
}

// resume lets the traffic go on.
func (s *poweredSystem) resume() {
	s.Helper()
	s.traffic.start()
	s.until("orders are taken", s.traffic.ready)
}

// cut lets events arrive behind a sync, writes some partitions to their end, and cuts the power. It returns how many events
// had been acknowledged. The relay runs on, or starts again afterwards; in that case it is certain that events are lost.
func (s *poweredSystem) cut(sync func(), written []string, live bool) (acknowledged int64) {
	s.Helper()
	for range 5 {
		s.flowing(50)
		sync()
		s.flowing(100)
		s.quiet()
		acknowledged = s.committed()
		if !live {
			s.relay.stop()
		}
		s.write(written)
		s.lose()
		s.kafka.Start()
		if live {
			return acknowledged
		}
		left := s.committed()
		s.relay.start()
		if left < acknowledged {
			return acknowledged
		}
		s.resume() // the kernel was quicker, and had written them
	}
	s.Fatal("the kernel writes everything before the power is cut")
	return 0
}

// syncQuiet writes the whole volume to the disk while no transaction is open.
func (s *poweredSystem) syncQuiet() {
	s.Helper()
	s.quiet()
	s.volume.Sync()
	s.resume()
}

// syncInside writes the whole volume to the disk while a partition has a transaction open.
func (s *poweredSystem) syncInside() {
	s.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers))
	if err != nil {
		s.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	open := func() (is bool) {
		producers, err := admin.DescribeProducers(s.Context(), kadm.TopicsSet{s.topic: nil})
		if err != nil {
			s.Fatal(err)
		}
		producers.EachProducer(func(p kadm.DescribedProducer) { is = is || p.CurrentTxnStartOffset >= 0 })
		return is
	}
	for done := false; !done; s.relay.signal(syscall.SIGCONT) {
		s.pauseInTransaction(s.relay)
		// Before, or its records may have been on their way yet; and after, or its end may have been.
		if open() {
			s.volume.Sync()
			done = open()
		}
	}
}

// write writes some of the broker's partitions to the disk, as the kernel might have.
func (s *poweredSystem) write(partitions []string) {
	s.Helper()
	for _, partition := range partitions {
		files, err := filepath.Glob(filepath.Join(s.volume.Dir(), "kafka", "data", partition, "*"))
		if err != nil || len(files) == 0 {
			s.Fatalf("no files of %s: %v", partition, err)
		}
		for _, file := range files {
			f, err := os.Open(file)
			if err != nil {
				s.Fatal(err)
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				s.Fatal(err)
			}
		}
	}
}

// committed counts the events that a reader of committed records can read.
func (s *poweredSystem) committed() (events int64) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers))
	if err != nil {
		s.Fatal(err)
	}
	defer client.Close()
	partitions, _, err := tail.Open(ctx, client, s.topic)
	if err != nil {
		s.Fatal(err)
	}
	stable, err := kadm.NewClient(client).ListCommittedOffsets(ctx, s.topic)
	if err != nil {
		s.Fatal(err)
	}
	for number, p := range partitions {
		end, _ := stable.Lookup(s.topic, int32(number))
		p.End = end.Offset // behind it a transaction is open, perhaps for ever
		if err := p.Scan(ctx, p.Start, func(*kgo.Record) error { events++; return nil }); err != nil {
			s.Fatal(err)
		}
	}
	return events
}

// forgetTransactions loses the state of transactions, and nothing else, with the power. There is nothing to refuse, and the
// relay goes on by itself.
func (s *poweredSystem) forgetTransactions(written ...string) {
	s.Helper()
	s.flowing(50)
	s.syncQuiet()
	s.flowing(100)
	s.quiet()
	s.write(written)
	s.lose()
	s.kafka.Start()
	s.resume()
	s.flowing(100)
	s.quiet()
	s.verify(250)
	if len(s.relay.lines("the broker gave out an epoch again")) == 0 {
		s.Error("the broker remembers the relay's newest epoch: no state of transactions was lost")
	}
	s.resume()
}

// refusal waits until the running relay has ended with the exit code of a closed gate and the remedy, and returns what it
// said.
func (s *poweredSystem) refusal(text string) string {
	s.Helper()
	s.until("the relay refuses", func() bool {
		select {
		case <-s.relay.process.Done():
			return true
		default:
			return false
		}
	})
	said := s.relay.lastLine()
	if err := s.relay.process.Wait(); exitCode(err) != 3 || !strings.Contains(said, text) || !strings.Contains(said, "relay recover --reason") {
		s.Fatalf("the relay ended with %v: %s; want exit code 3, %s and the remedy", err, said, text)
	}
	return said
}
