package app

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// The faults of an EndTxn, after each of which nobody at the relay's end knows whether the transaction is committed.
const (
	none         = "none"
	requestLost  = "request lost"
	responseLost = "response lost"
	delayed      = "delayed" // its sender's connection breaks, and then it arrives all the same
)

// delay is for how long a delayed request is on its way: long enough for its sender to have asked again.
const delay = 700 * time.Millisecond

// meddler is a proxy in front of a broker that reads along and does to each EndTxn what comes next in its turn.
type meddler struct {
	broker   string // where it forwards to
	listener net.Listener
	running  sync.WaitGroup

	mu   sync.Mutex
	turn []string
	met  map[string]int
	open map[net.Conn]bool
}

// meddled starts an Apache Kafka whose address for the relay is a meddler's, and returns its own address, too.
func meddled(t *testing.T, turn ...string) (m *meddler, relays, direct string) {
	t.Helper()
	var at [4]string
	var port [4]int
	for i := range port {
		var err error
		if port[i], err = ports.Free(); err != nil {
			t.Fatal(err)
		}
		at[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port[i]))
	}
	m = &meddler{broker: at[2], turn: turn, met: make(map[string]int), open: make(map[net.Conn]bool)}
	var err error
	if m.listener, err = net.Listen("tcp", at[3]); err != nil {
		t.Fatal(err)
	}
	m.running.Go(m.accept)
	t.Cleanup(m.close)
	server, err := kafkaserver.Start(t.Context(), kafkaserver.Config{Dir: t.TempDir(), Port: port[0], Properties: map[string]string{
		"listeners":                      "PLAINTEXT://" + at[0] + ",CONTROLLER://" + at[1] + ",MEDDLED://" + at[2],
		"advertised.listeners":           "PLAINTEXT://" + at[0] + ",MEDDLED://" + at[3],
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MEDDLED:PLAINTEXT",
		"inter.broker.listener.name":     "PLAINTEXT",
		"controller.quorum.voters":       "1@" + at[1],
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() }) // its data are thrown away
	return m, at[3], at[0]
}

// next is what is to be done to the next EndTxn.
func (m *meddler) next() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	fault := m.turn[0]
	m.turn = append(m.turn[1:], fault)
	return fault
}

// did counts a fault that has happened.
func (m *meddler) did(fault string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.met[fault]++
}

// times is how often a fault has happened.
func (m *meddler) times(fault string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.met[fault]
}

func (m *meddler) close() {
	_ = m.listener.Close() // which ends accept
	m.mu.Lock()
	for conn := range m.open {
		_ = conn.Close() // which ends who reads from it
	}
	m.mu.Unlock()
	m.running.Wait()
}

func (m *meddler) accept() {
	for {
		client, err := m.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", m.broker)
		if err != nil {
			_ = client.Close() // it is not there yet
			continue
		}
		m.mu.Lock()
		m.open[client], m.open[broker] = true, true
		m.mu.Unlock()
		var lost atomic.Int64 // the correlation id of the request whose answer is lost
		lost.Store(-1)
		m.running.Go(func() { m.requests(client, broker, &lost) })
		m.running.Go(func() { m.answers(client, broker, &lost) })
	}
}

// requests forwards what the client asks until a connection breaks, by its own hand or not.
func (m *meddler) requests(client, broker net.Conn, lost *atomic.Int64) {
	for {
		frame, err := readFrame(client)
		if err != nil {
			_ = broker.Close()
			return
		}
		fault := none
		if kmsg.Key(binary.BigEndian.Uint16(frame[4:])) == kmsg.EndTxn {
			fault = m.next()
		}
		switch fault {
		case requestLost:
			_, _ = client.Close(), broker.Close()
			m.did(fault)
			return
		case responseLost:
			lost.Store(int64(binary.BigEndian.Uint32(frame[8:])))
		case delayed:
			_ = client.Close()
			<-time.After(delay)
		}
		if _, err := broker.Write(frame); err == nil && fault == delayed { // an error is for answers to see
			m.did(fault)
		}
	}
}

// answers forwards what the broker answers.
func (m *meddler) answers(client, broker net.Conn, lost *atomic.Int64) {
	defer client.Close()
	defer broker.Close()
	for {
		frame, err := readFrame(broker)
		if err != nil {
			return
		}
		if int64(binary.BigEndian.Uint32(frame[4:])) == lost.Load() {
			m.did(responseLost)
			return
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}

// readFrame reads a request or an answer, its length included (Kafka's protocol guide, section "Common Request and Response Structure").
func readFrame(from io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(from, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	_, err := io.ReadFull(from, frame[4:])
	return frame, err
}
