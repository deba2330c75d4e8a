package status

import (
	"math/bits"
	"slices"
)

// Bits is a set of sequence numbers, at a bit each and 8 kB for each 65,536 of them that hold any: a number that is far off the others
// costs no more than that. Its zero value is empty.
type Bits struct {
	chunks map[int64]*[chunkWords]uint64
}

const (
	chunkWords = 1024
	chunkBits  = chunkWords * 64
)

// Set adds a number, which is not negative.
func (b *Bits) Set(n int64) {
	chunk := b.chunks[n/chunkBits]
	if chunk == nil {
		if b.chunks == nil {
			b.chunks = make(map[int64]*[chunkWords]uint64)
		}
		chunk = new([chunkWords]uint64)
		b.chunks[n/chunkBits] = chunk
	}
	chunk[n%chunkBits/64] |= 1 << (n % 64)
}

// Clear removes a number.
func (b *Bits) Clear(n int64) {
	if chunk := b.chunks[n/chunkBits]; chunk != nil {
		chunk[n%chunkBits/64] &^= 1 << (n % 64)
	}
}

// Has reports whether the number is in the set.
func (b *Bits) Has(n int64) bool {
	chunk := b.chunks[n/chunkBits]
	return chunk != nil && chunk[n%chunkBits/64]&(1<<(n%64)) != 0
}

// Merge adds all of another set.
func (b *Bits) Merge(other Bits) {
	for at, chunk := range other.chunks {
		if mine := b.chunks[at]; mine != nil {
			for i := range chunk {
				mine[i] |= chunk[i]
			}
			continue
		}
		if b.chunks == nil {
			b.chunks = make(map[int64]*[chunkWords]uint64)
		}
		b.chunks[at] = new(*chunk)
	}
}

// Without says how many numbers of the set another lacks, and which are the lowest of them, limit at most.
func (b *Bits) Without(other *Bits, limit int) (n int64, lowest []int64) {
	places := make([]int64, 0, len(b.chunks))
	for at := range b.chunks {
		places = append(places, at)
	}
	slices.Sort(places)
	for _, at := range places {
		theirs := other.chunks[at]
		for i, word := range b.chunks[at] {
			if theirs != nil {
				word &^= theirs[i]
			}
			n += int64(bits.OnesCount64(word))
			for ; word != 0 && len(lowest) < limit; word &= word - 1 {
				lowest = append(lowest, at*chunkBits+int64(i*64+bits.TrailingZeros64(word)))
			}
		}
	}
	return n, lowest
}
