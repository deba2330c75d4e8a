package cable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conversation is one connection between a client and a broker. An answer says only by a number which request it answers,
// and that one which form the answer has (Kafka's protocol guide, sections "Protocol Requests" and "Headers").
type conversation struct {
	brokers *Brokers

	mu    sync.Mutex
	asked map[uint32]question // not answered yet, by correlation id; guarded by mu
}

// question is what an answer's form depends on.
type question struct{ key, version int16 }

// views are the two directions of a connection.
func (b *Brokers) views() (sent, answered View) {
	c := &conversation{brokers: b, asked: make(map[uint32]question)}
	return func(r io.Reader) io.Reader { return io.TeeReader(r, &questions{to: c}) },
		func(r io.Reader) io.Reader { return &answers{from: r, of: c} }
}

func (c *conversation) ask(id uint32, q question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[id] = q
}

func (c *conversation) answered(id uint32) (question, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, known := c.asked[id]
	delete(c.asked, id)
	return q, known
}

// headSize is the size of what questions looks at: a frame's length, the request's key and version, the correlation id.
const headSize = 4 + 2 + 2 + 4

// questions is shown what a client sends, and notes what it asks for. It keeps nothing of a request but its head.
type questions struct {
	to   *conversation
	head []byte // of the frame that is coming
	skip uint32 // bytes of it that are still to come
}

// Write implements io.Writer.
func (q *questions) Write(b []byte) (int, error) {
	size := len(b)
	for len(b) > 0 {
		if n := min(len(b), int(q.skip)); n > 0 {
			b, q.skip = b[n:], q.skip-uint32(n)
			continue
		}
		n := min(len(b), headSize-len(q.head))
		q.head, b = append(q.head, b[:n]...), b[n:]
		if len(q.head) < headSize {
			break
		}
		length := binary.BigEndian.Uint32(q.head)
		if length < headSize-4 || length > longest {
			return 0, errNotKafka
		}
		q.to.ask(binary.BigEndian.Uint32(q.head[8:]), question{
			key: int16(binary.BigEndian.Uint16(q.head[4:])), version: int16(binary.BigEndian.Uint16(q.head[6:])),
		})
		q.head, q.skip = q.head[:0], length-(headSize-4)
	}
	return size, nil
}

// longest is how long a frame may be; what begins like a longer one is none.
const longest = 1 << 30

var errNotKafka = errors.New("what is said is not Kafka's protocol, or it is encrypted")

// answers reads what a broker answers, with the brokers' addresses replaced.
type answers struct {
	from io.Reader
	of   *conversation

	ready []byte // to be read
	pass  int64  // bytes of the current answer that are passed on as they come
}

// Read implements io.Reader.
func (a *answers) Read(b []byte) (int, error) {
	if len(a.ready) == 0 && a.pass == 0 {
		if err := a.next(); err != nil {
			return 0, err
		}
	}
	if len(a.ready) > 0 {
		n := copy(b, a.ready)
		a.ready = a.ready[n:]
		return n, nil
	}
	n, err := a.from.Read(b[:min(int64(len(b)), a.pass)])
	a.pass -= int64(n)
	return n, err
}

// next begins with an answer. Only those that hold addresses are read whole.
func (a *answers) next() error {
	head := make([]byte, 8) // a frame's length and the correlation id
	if _, err := io.ReadFull(a.from, head); err != nil {
		return err
	}
	length := int64(binary.BigEndian.Uint32(head))
	q, known := a.of.answered(binary.BigEndian.Uint32(head[4:]))
	if length < 4 || length > longest || !known {
		return errNotKafka
	}
	if !q.addresses() {
		a.ready, a.pass = head, length-4
		return nil
	}
	body := make([]byte, length-4)
	if _, err := io.ReadFull(a.from, body); err != nil {
		return err
	}
	replaced, err := a.of.brokers.rewrite(q, body)
	if err != nil {
		return fmt.Errorf("answer to %s v%d: %w", kmsg.NameForKey(q.key), q.version, err)
	}
	binary.BigEndian.PutUint32(head, uint32(4+len(replaced)))
	a.ready = append(head, replaced...)
	return nil
}
