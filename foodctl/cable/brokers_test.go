package cable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// dialled notes where a client connects to.
type dialled struct {
	mu sync.Mutex
	to []string // guarded by mu
}

func (d *dialled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.to, address) {
		d.to = append(d.to, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// behind is a client of a cluster behind a cable.
func behind(t *testing.T, addresses string) (*kgo.Client, *Brokers, *dialled) {
	t.Helper()
	b, err := StartBrokers(t.Context(), strings.Split(addresses, ","), NewGate())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	d := new(dialled)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(b.Addresses(), ",")...), kgo.Dialer(d.dial),
		kgo.TransactionalID(testenv.Name(t)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, b, d
}

// transact publishes a record to each partition of the topic, in one transaction.
func transact(ctx context.Context, client *kgo.Client, topic string, partitions int32) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	for p := range partitions {
		record := &kgo.Record{Topic: topic, Partition: p, Value: []byte("x")}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	return client.EndTransaction(ctx, kgo.TryCommit)
}

func TestAClientNeverLearnsOfAWayAroundTheCable(t *testing.T) {
	t.Parallel()
	three, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(three.Close)
	for name, brokers := range map[string]string{"three brokers, of which it knows one": three.ListenAddrs()[0], "the tests' broker": testenv.Broker(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const partitions = 6
			topic := testenv.Topic(t, brokers, partitions)
			client, b, d := behind(t, brokers)
			if err := transact(t.Context(), client, topic, partitions); err != nil {
				t.Fatal(err)
			}
			ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic) // the markers may be written behind the answer
			if err != nil {
				t.Fatal(err)
			}
			for p := range int32(partitions) {
				if end, _ := ends.Lookup(topic, p); end.Offset < 1 {
					t.Errorf("partition %d ends at %d: nothing has arrived", p, end.Offset)
				}
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, address := range d.to {
				if _, direct := b.proxies[address]; direct {
					t.Errorf("the client has connected to the broker itself at %s", address)
				}
			}
		})
	}
}

func TestACutCableIsSilentAndAMendedOneGoesOn(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	topic := testenv.Topic(t, brokers, 1)
	client, b, _ := behind(t, brokers)
	if err := transact(t.Context(), client, topic, 1); err != nil {
		t.Fatal(err)
	}
	b.Cut()
	within, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := client.Ping(within); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("during the cut: %v, want silence", err)
	}
	b.Mend()
	if err := transact(t.Context(), client, topic, 1); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

// Whatever a request is cut into, its head is found, and only its head.
func TestEachQuestionIsNotedHoweverItComes(t *testing.T) {
	t.Parallel()
	var formatter kmsg.RequestFormatter
	var stream []byte
	for i, r := range []kmsg.Request{kmsg.NewPtrApiVersionsRequest(), kmsg.NewPtrMetadataRequest(), kmsg.NewPtrProduceRequest()} {
		r.SetVersion(r.MaxVersion())
		stream = append(stream, formatter.AppendRequest(nil, r, int32(i))...)
	}
	for size := 1; size <= len(stream); size++ {
		c := &conversation{asked: make(map[uint32]question)}
		q := &questions{to: c}
		for chunk := range slices.Chunk(stream, size) {
			if _, err := q.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		for id, want := range []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata, kmsg.Produce} {
			if got, known := c.answered(uint32(id)); !known || got.key != int16(want) {
				t.Fatalf("in pieces of %d: request %d is %v, want key %d", size, id, got, want)
			}
		}
	}
}

func TestWhatIsNotKafkaEndsTheConnection(t *testing.T) {
	t.Parallel()
	b, err := StartBrokers(t.Context(), []string{echo(t)}, NewGate())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	c, err := net.Dial("tcp", b.Addresses())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00"); err != nil { // as TLS begins
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		t.Errorf("read %d bytes, %v: want the end of the connection", n, err)
	}
}

// FuzzAnswer: no broker's answer makes the cable panic, and what it understands it can write down again.
func FuzzAnswer(f *testing.F) {
	for _, r := range []kmsg.Response{kmsg.NewPtrMetadataResponse(), kmsg.NewPtrFindCoordinatorResponse(), kmsg.NewPtrProduceResponse(), kmsg.NewPtrFetchResponse()} {
		r.SetVersion(r.MaxVersion())
		f.Add(r.Key(), r.MaxVersion(), r.AppendTo([]byte{0}))
	}
	f.Fuzz(func(t *testing.T, key, version int16, answer []byte) {
		q := question{key: key, version: version}
		if !q.addresses() || version < 0 || version > kmsg.ResponseForKey(key).MaxVersion() {
			return
		}
		b := &Brokers{} // closed: an answer with an address is an error
		rewritten, err := b.rewrite(q, answer)
		if err != nil {
			return
		}
		again, err := b.rewrite(q, rewritten)
		if err != nil || !bytes.Equal(again, rewritten) {
			t.Errorf("rewritten to %x, and that to %x: %v", rewritten, again, err)
		}
	})
}
