package publish

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/s2"
)

// The layout of a record batch (Kafka's protocol guide, section "Record Batch"; KIP-98): the header's fields are at fixed
// places, and the checksum covers everything behind it.
const (
	batchHeader = 61 // bytes in front of the records

	atLength        = 8
	atLeaderEpoch   = 12
	atMagic         = 16
	atChecksum      = 17
	atAttributes    = 21
	atLastDelta     = 23
	atBaseTimestamp = 27
	atMaxTimestamp  = 35
	atProducerID    = 43
	atProducerEpoch = 51
	atBaseSequence  = 53
	atCount         = 57

	magic         = 2
	transactional = 1 << 4 // an attribute; the lowest three bits are the compression
	snappy        = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// noHeaders is a record's count of no headers.
var noHeaders = []byte{0}

// open is a batch that records are added to.
type open struct {
	records   []byte
	count     int32
	base, top int64 // timestamps in milliseconds: of the first record, and the highest
}

// value is a record's: the payload, behind the id of its schema if a registry has that. Without a payload it is null.
type value struct{ prefix, payload []byte }

func (v value) length() int64 {
	if v.payload == nil {
		return -1
	}
	return int64(len(v.prefix) + len(v.payload))
}

// size is how many bytes it takes, its length apart.
func (v value) size() int { return max(0, int(v.length())) }

// add appends a record, whose key and value may be null. Headers are as topic.Encoder writes them.
func (o *open) add(timestamp int64, key []byte, v value, headers []byte) {
	if o.count == 0 {
		o.base, o.top = timestamp, timestamp
	}
	o.top = max(o.top, timestamp)
	after, delta := timestamp-o.base, int64(o.count)
	size := 1 + varint(after) + varint(delta) + varint(length(key)) + len(key) + varint(v.length()) + v.size() + len(headers)
	b := binary.AppendVarint(o.records, int64(size))
	b = append(b, 0) // attributes, of which there are none
	b = binary.AppendVarint(b, after)
	b = binary.AppendVarint(b, delta)
	b = binary.AppendVarint(b, length(key))
	b = append(b, key...)
	b = binary.AppendVarint(b, v.length())
	if v.payload != nil {
		b = append(append(b, v.prefix...), v.payload...)
	}
	o.records = append(b, headers...)
	o.count++
}

// length is that of a key in a record, where nil is null.
func length(b []byte) int64 {
	if b == nil {
		return -1
	}
	return int64(len(b))
}

// varint is how many bytes binary.AppendVarint appends for n.
func varint(n int64) int {
	zigzag := uint64(n)<<1 ^ uint64(n>>63)
	return (bits.Len64(zigzag|1) + 6) / 7
}

// sealed is a batch that is ready to be sent, except for what depends on the transaction: see number.
type sealed struct {
	partition   *partition
	transaction *transaction
	wire        []byte
	count       int32
	sequence    int32
	offset      int64 // of its first record; known when the broker has acknowledged it
}

// seal finishes the batch into the memory of to, and empties it. scratch is memory for the time of the call.
func (o *open) seal(to, scratch []byte) (wire, usedScratch []byte) {
	const header = batchHeader
	compressed := compress(scratch[:0], o.records)
	records, attributes := compressed, uint16(transactional|snappy)
	if len(compressed) >= len(o.records) {
		records, attributes = o.records, transactional
	}
	wire = append(append(to[:0], make([]byte, header)...), records...)
	binary.BigEndian.PutUint32(wire[atLength:], uint32(len(wire)-atLeaderEpoch))
	binary.BigEndian.PutUint32(wire[atLeaderEpoch:], ^uint32(0)) // the broker fills it in
	wire[atMagic] = magic
	binary.BigEndian.PutUint16(wire[atAttributes:], attributes)
	binary.BigEndian.PutUint32(wire[atLastDelta:], uint32(o.count-1))
	binary.BigEndian.PutUint64(wire[atBaseTimestamp:], uint64(o.base))
	binary.BigEndian.PutUint64(wire[atMaxTimestamp:], uint64(o.top))
	binary.BigEndian.PutUint32(wire[atCount:], uint32(o.count))
	o.records, o.count = o.records[:0], 0
	return wire, compressed
}

// snappyBlock is how much is compressed at a time. What the compressor must remember of it fits into a core's first cache;
// of half a megabyte at once it takes nearly twice as long, for a few per cent less.
const snappyBlock = 32 << 10

// snappyFraming is how a stream of blocks begins, in the framing of Kafka's Java client: a mark, the version, and the
// lowest version that can read it.
var snappyFraming = []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")

// compress appends the blocks of b, each behind its length.
func compress(to, b []byte) []byte {
	to = append(to, snappyFraming...)
	for block := range slices.Chunk(b, snappyBlock) {
		to = slices.Grow(to, 4+s2.MaxEncodedLen(len(block)))
		compressed := s2.EncodeSnappy(to[len(to)+4:cap(to)], block)
		to = binary.BigEndian.AppendUint32(to, uint32(len(compressed)))
		to = to[:len(to)+len(compressed)]
	}
	return to
}

// number fills in who produces the batch, and in which place. It may be done again.
func (s *sealed) number(id int64, epoch int16) {
	binary.BigEndian.PutUint64(s.wire[atProducerID:], uint64(id))
	binary.BigEndian.PutUint16(s.wire[atProducerEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(s.wire[atBaseSequence:], uint32(s.sequence))
	binary.BigEndian.PutUint32(s.wire[atChecksum:], crc32.Checksum(s.wire[atAttributes:], castagnoli))
}
