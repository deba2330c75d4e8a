package audit

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/maphash"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// numbers gives each id a number, 0, 1, 2, ..., in the order of arrival. It costs 16 bytes for the id and 5.3 to 10.7 for
// its slot in an open-addressing table; a Go map of the same takes about twice that.
type numbers struct {
	seed  maphash.Seed
	ids   []uuid.UUID
	slots []uint32 // number + 1, 0 for a free slot; the length is a power of two, and at most 3/4 are taken
}

func newNumbers(expected int) numbers {
	size := 16
	for size*3/4 <= expected {
		size *= 2
	}
	return numbers{seed: maphash.MakeSeed(), ids: make([]uuid.UUID, 0, expected), slots: make([]uint32, size)}
}

func (n *numbers) find(id uuid.UUID) (number int, known bool) {
	slot := n.slot(id)
	return int(n.slots[slot]) - 1, n.slots[slot] != 0
}

// add returns the id's number, a new one if the id has none.
func (n *numbers) add(id uuid.UUID) (number int, added bool) {
	slot := n.slot(id)
	if n.slots[slot] != 0 {
		return int(n.slots[slot]) - 1, false
	}
	n.ids = append(n.ids, id)
	n.slots[slot] = uint32(len(n.ids))
	if len(n.ids) > len(n.slots)*3/4 {
		n.grow()
	}
	return len(n.ids) - 1, true
}

func (n *numbers) grow() {
	n.slots = make([]uint32, 2*len(n.slots))
	for i, id := range n.ids {
		n.slots[n.slot(id)] = uint32(i + 1)
	}
}

// slot is where the id stands, or the free slot where it belongs.
func (n *numbers) slot(id uuid.UUID) int {
	mask := len(n.slots) - 1
	at := int(maphash.Bytes(n.seed, id[:])) & mask
	for n.slots[at] != 0 && n.ids[n.slots[at]-1] != id {
		at = (at + 1) & mask
	}
	return at
}

// events is what the audit remembers of each event of the source: 32 bytes and its slot, whatever its payload.
type events struct {
	numbers
	prints []uint64 // fingerprint of the outbox row
	places []place  // where the topic has it
}

func newEvents(expected int) *events {
	return &events{
		numbers: newNumbers(expected),
		prints:  make([]uint64, 0, expected),
		places:  make([]place, 0, expected),
	}
}

func (e *events) add(r *row) error {
	hash, err := r.fingerprint(e.seed)
	if err != nil {
		return err
	}
	if _, added := e.numbers.add(r.id); added {
		e.prints, e.places = append(e.prints, hash), append(e.places, nowhere)
	}
	return nil
}

// place is a partition and an offset in one word. A Kafka log does not live to see offset 2^48.
type place uint64

const nowhere place = 0

func at(partition int32, offset int64) place {
	return place(uint64(partition+1)<<48 | uint64(offset)&(1<<48-1))
}

func (p place) partition() int32 { return int32(p>>48) - 1 }
func (p place) offset() int64    { return int64(p & (1<<48 - 1)) }

// history is what the audit remembers of each order while it reads the topic: 24 bytes and its slot.
type history struct {
	numbers
	last []step
}

// step is the highest version of an order that the topic has shown so far, and the partition it stands in.
type step struct {
	version   int32
	partition int16
	scattered bool // the order stands in several partitions
}

// of returns the order's step, which is zero for an order that has not been seen.
func (h *history) of(order uuid.UUID) *step {
	number, added := h.add(order)
	if added {
		h.last = append(h.last, step{})
	}
	return &h.last[number]
}

// row is an outbox row. What it points to is valid until the next one is read.
type row struct {
	seq     int64
	id      uuid.UUID
	order   uuid.UUID
	kind    event.Type
	version int64
	payload []byte
	headers []byte // nil for NULL
	micros  int64  // occurred_at, in microseconds since 1970
}

func (r *row) fingerprint(seed maphash.Seed) (uint64, error) {
	var headers map[string]string
	if len(r.headers) > 0 {
		if err := json.Unmarshal(r.headers, &headers); err != nil {
			return 0, fmt.Errorf("headers of outbox row %d: %w", r.seq, err)
		}
	}
	return fingerprint(seed, r, headers), nil
}

// fingerprint is a 64-bit hash of all that the topic must repeat of a row: two that differ are taken for equal once in
// 2^64 times. The payload goes in as its bytes; headers are a set, so their hashes are added.
func fingerprint(seed maphash.Seed, r *row, headers map[string]string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	var fixed [56]byte
	copy(fixed[0:], r.id[:])
	copy(fixed[16:], r.order[:])
	binary.LittleEndian.PutUint64(fixed[32:], uint64(r.seq))
	binary.LittleEndian.PutUint64(fixed[40:], uint64(r.version))
	binary.LittleEndian.PutUint64(fixed[48:], uint64(r.micros))
	h.Write(fixed[:])
	h.WriteString(string(r.kind))
	h.WriteByte(0) // no type has one, so type and payload cannot trade bytes
	h.Write(r.payload)
	sum := h.Sum64()
	for name, value := range headers {
		sum += maphash.Comparable(seed, [2]string{name, value})
	}
	return sum
}
