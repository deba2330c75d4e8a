package publish

// partition is one to which the producer writes: of the events' topic, or the checkpoint's only one.
type partition struct {
	topic    string
	number   int32
	open     open     // what is added now
	sequence int32    // of the next record: counted from 0 in each transaction (KIP-890)
	last     []byte   // the id of the last event added in this transaction; empty for none
	followed []traced // of the open batch

	// Guarded by the producer's mu:
	queue []*sealed // in order; the first may be on its way
	acked int64     // the offset of the last record that the broker has acknowledged; -1 before the first
}

// partitionOf returns where Kafka's own clients put a record with the key: murmur2, made positive, modulo the partitions
// (org.apache.kafka.clients.producer.internals.BuiltInPartitioner).
func partitionOf(key []byte, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is the hash of org.apache.kafka.common.utils.Utils.
func murmur2(key []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := seed ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(key[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
