package wal

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	frameHeader = 5         // type byte and length word
	firstBuffer = 256 << 10 // large reads while there is a backlog: one system call for hundreds of rows
	maxFrame    = 256 << 20 // no honest row comes near it; a length above it is a broken stream, not a reason to allocate
)

// frames splits a byte stream into the messages of the Postgres protocol (PostgreSQL documentation, section "Message
// Formats"). It survives a read that times out in the middle of a message: what has arrived stays buffered.
type frames struct {
	src io.Reader
	buf []byte
	// buf[r:w] has arrived and was not returned yet.
	r, w int
}

func newFrames(src io.Reader) *frames {
	return &frames{src: src, buf: make([]byte, firstBuffer)}
}

// next returns the next message if all of it has arrived. The body is valid until fill is called.
func (f *frames) next() (kind byte, body []byte, ok bool, err error) {
	if f.w-f.r < frameHeader {
		return 0, nil, false, nil
	}
	size, err := f.size()
	if err != nil || f.w-f.r < size {
		return 0, nil, false, err
	}
	kind, body = f.buf[f.r], f.buf[f.r+frameHeader:f.r+size]
	f.r += size
	return kind, body, true, nil
}

// fill reads once, as much as there is room for. The buffer grows with a message as it arrives: its length word alone
// makes nobody allocate.
func (f *frames) fill() error {
	if f.r == f.w {
		f.r, f.w = 0, 0 // all of the buffer is free, for a large read
	}
	need := frameHeader
	if f.w-f.r >= frameHeader {
		size, err := f.size()
		if err != nil {
			return err
		}
		need = size
	}
	if need > len(f.buf)-f.r && (f.r > 0 || f.w == len(f.buf)) {
		f.makeRoom(need)
	}
	n, err := f.src.Read(f.buf[f.w:])
	f.w += n
	if n > 0 {
		return nil // an error will come again
	}
	return err
}

// full reports whether fill would have to make room.
func (f *frames) full() bool { return f.w == len(f.buf) }

// makeRoom moves what has arrived to the front, and to a larger buffer if it fills this one.
func (f *frames) makeRoom(need int) {
	to := f.buf
	if f.w-f.r == len(f.buf) {
		to = make([]byte, min(need, 2*len(f.buf)))
	}
	f.w = copy(to, f.buf[f.r:f.w])
	f.r, f.buf = 0, to
}

// size returns the size of the message at r, its header included.
func (f *frames) size() (int, error) {
	length := binary.BigEndian.Uint32(f.buf[f.r+1:]) // counts itself, not the type byte
	if length < frameHeader-1 || length > maxFrame {
		return 0, fmt.Errorf("protocol message %q claims %d bytes, want 4 to %d", f.buf[f.r], length, maxFrame)
	}
	return int(length) + 1, nil
}
