package wal

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pieces is a connection on which bytes arrive piece by piece, and where each piece is waited for in vain first.
type pieces struct {
	rest    [][]byte
	timeout bool
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.timeout = !p.timeout; p.timeout {
		return 0, os.ErrDeadlineExceeded
	}
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[0])
	if p.rest[0] = p.rest[0][n:]; len(p.rest[0]) == 0 {
		p.rest = p.rest[1:]
	}
	return n, nil
}

// message is a type and a body.
type message struct {
	kind byte
	body string
}

// readAll reads until the end, as Stream does. A time-out is no error.
func readAll(f *frames) ([]message, error) {
	var got []message
	for {
		kind, body, ok, err := f.next()
		if err != nil {
			return got, err
		}
		if ok {
			got = append(got, message{kind, string(body)})
			continue
		}
		if err := f.fill(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return got, err
		}
	}
}

func TestMessagesCutAtEveryByteAreWhole(t *testing.T) {
	t.Parallel()
	want := []message{{'d', "first"}, {'d', ""}, {'k', strings.Repeat("x", 40)}, {'E', "last"}}
	var stream []byte
	for _, m := range want {
		stream = append(stream, frame(m.kind, []byte(m.body))...)
	}
	for _, size := range []int{frameHeader, 16, firstBuffer} {
		for cut := range len(stream) + 1 {
			src := &pieces{rest: [][]byte{bytes.Clone(stream[:cut]), bytes.Clone(stream[cut:])}}
			got, err := readAll(&frames{src: src, buf: make([]byte, size)})
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("buffer of %d, cut at %d: got %q, %v", size, cut, got, err)
			}
		}
	}
}

func TestAnyMessagesInAnyPiecesAreWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			want   []message
			stream []byte
		)
		for range rapid.IntRange(0, 20).Draw(t, "messages") {
			m := message{rapid.Byte().Draw(t, "kind"), strings.Repeat("b", rapid.IntRange(0, 2000).Draw(t, "length"))}
			want, stream = append(want, m), append(stream, frame(m.kind, []byte(m.body))...)
		}
		var src pieces
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "piece")
			src.rest, stream = append(src.rest, stream[:n:n]), stream[n:]
		}
		got, err := readAll(&frames{src: &src, buf: make([]byte, rapid.IntRange(frameHeader, 4096).Draw(t, "buffer"))})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	})
}

func TestMessageLargerThanTheBufferIsWhole(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789", 3*firstBuffer/10)
	want := []message{{'d', "before"}, {'d', large}, {'d', "after"}}
	var stream []byte
	for _, m := range want {
		stream = append(stream, frame(m.kind, []byte(m.body))...)
	}
	got, err := readAll(newFrames(bytes.NewReader(stream)))
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %d messages, %v", len(got), err)
	}
}

func TestAbsurdLengthIsAnError(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"\x00\x00\x00\x00", "\x00\x00\x00\x03", "\x10\x00\x00\x01", "\x7f\xff\xff\xff", "\x80\x00\x00\x00", "\xff\xff\xff\xff"} {
		got, err := readAll(newFrames(strings.NewReader("d" + length + "w")))
		if err == nil || len(got) > 0 {
			t.Errorf("%x: got %q, %v", length, got, err)
		}
	}
}

func TestBufferGrowsWithWhatArrivesNotWithWhatIsClaimed(t *testing.T) {
	t.Parallel()
	arrived := "d\x0f\xff\xff\xff" + strings.Repeat("x", firstBuffer) // the rest of 256 MiB never comes
	f := newFrames(strings.NewReader(arrived))
	if got, err := readAll(f); len(got) > 0 || err != nil {
		t.Fatalf("got %d messages, %v", len(got), err)
	}
	if got := len(f.buf); got > 4*firstBuffer {
		t.Errorf("%d bytes arrived, %d were allocated", len(arrived), got)
	}
}

func TestBrokenConnectionIsAnErrorAfterWhatHadArrived(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	src := io.MultiReader(bytes.NewReader(frame('d', []byte("whole"))), errReader{broken})
	got, err := readAll(newFrames(src))
	if !errors.Is(err, broken) || !slices.Equal(got, []message{{'d', "whole"}}) {
		t.Errorf("got %q, %v", got, err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
