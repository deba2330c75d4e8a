package wal

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

func announcedDecoder(t testing.TB, columns ...string) *decoder {
	t.Helper()
	d := decoder{layout: layout.Own()}
	if err := d.relation(relationMessage(outboxOID, columns...)[1:]); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestDecodeReadsWhatWasEncodedWhateverTheColumnsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.Byte(), 0, 300)
		want := outbox.Row{
			Seq: text.Draw(t, "seq"), ID: text.Draw(t, "id"), AggregateType: text.Draw(t, "kind"),
			AggregateID: text.Draw(t, "aggregate"), Type: text.Draw(t, "type"), Version: text.Draw(t, "version"),
			Payload: text.Draw(t, "payload"), OccurredAt: text.Draw(t, "time"),
		}
		if rapid.Bool().Draw(t, "has headers") {
			want.Headers = text.Draw(t, "headers")
		}
		byName := make(map[string][]byte)
		for i, v := range values(want) {
			byName[announced[i]] = v
		}
		columns := append([]string{"added", "dropped_later"}, announced...) // columns that are not the outbox's
		byName["added"] = text.Draw(t, "added")
		columns = rapid.Permutation(columns).Draw(t, "columns")
		var tuple [][]byte
		for _, name := range columns {
			tuple = append(tuple, byName[name])
		}

		d := decoder{layout: layout.Own()}
		if err := d.relation(relationMessage(7, columns...)[1:]); err != nil {
			t.Fatal(err)
		}
		message := insertMessage(7, tuple...)[1:]
		got, err := d.insert(message)
		clear(message) // the buffer that it arrived in is used again
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
	})
}

func TestBeginAndCommitTellTheirPositions(t *testing.T) {
	t.Parallel()
	var d decoder
	at := time.Date(2026, 11, 23, 4, 22, 0, 123_000, time.UTC)
	b, err := d.begin(beginMessage(0x16_B374D848, at.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Microseconds())[1:])
	if err != nil || b.commit != 0x16_B374D848 || b.time != at {
		t.Errorf("begin: got %+v, %v", b, err)
	}
	c, err := d.commit(commitMessage(0x16_B374D848, 0x16_B374D878)[1:])
	if err != nil || c != (commit{0x16_B374D848, 0x16_B374D878}) {
		t.Errorf("commit: got %+v, %v", c, err)
	}
}

func TestMessageThatIsCutOrTooLongIsAnError(t *testing.T) {
	t.Parallel()
	d := announcedDecoder(t, announced...)
	row := exampleRow(1)
	row.Headers = nil
	for name, m := range map[string]struct {
		message []byte
		decode  func(b []byte) error
	}{
		"begin":    {beginMessage(1, 1), func(b []byte) error { _, err := d.begin(b); return err }},
		"commit":   {commitMessage(1, 2), func(b []byte) error { _, err := d.commit(b); return err }},
		"relation": {relationMessage(7, announced...), func(b []byte) error { return (&decoder{layout: layout.Own()}).relation(b) }},
		"insert":   {insertMessage(outboxOID, values(row)...), func(b []byte) error { _, err := d.insert(b); return err }},
	} {
		body := m.message[1:]
		for n := range body {
			if err := m.decode(body[:n]); err == nil {
				t.Errorf("%s cut at %d of %d bytes was accepted", name, n, len(body))
			}
		}
		if err := m.decode(append(bytes.Clone(body), 0)); err == nil {
			t.Errorf("%s with a byte too many was accepted", name)
		}
		if err := m.decode(body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTupleThatLiesAboutALengthIsAnErrorAndNoAllocation(t *testing.T) {
	t.Parallel()
	honest := insertMessage(outboxOID, values(exampleRow(1))...)[1:]
	for _, claim := range []uint32{0, uint32(len(honest)), 1 << 20, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32} {
		d := announcedDecoder(t, announced...)
		lie := bytes.Clone(honest)
		binary.BigEndian.PutUint32(lie[len("oid.")+len("N##")+len("t"):], claim) // of the first value
		if row, err := d.insert(lie); err == nil {
			t.Errorf("a value of %d bytes was found in %d: %q", claim, len(lie), row)
		}
		if got := cap(d.arena.block); got > arenaBlock {
			t.Errorf("claim of %d bytes: %d were allocated", claim, got)
		}
	}
	for _, claim := range []uint16{0, 8, 10, math.MaxUint16} {
		d := announcedDecoder(t, announced...)
		lie := bytes.Clone(honest)
		binary.BigEndian.PutUint16(lie[len("oid.")+len("N"):], claim)
		if row, err := d.insert(lie); err == nil {
			t.Errorf("%d columns were found: %q", claim, row)
		}
		lie = bytes.Clone(relationMessage(7, announced...)[1:])
		binary.BigEndian.PutUint16(lie[len("oid.public.outbox.d"):], claim)
		if err := d.relation(lie); err == nil {
			t.Errorf("a relation of %d columns was found", claim)
		}
	}
}

func TestRelationWithoutAColumnIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for i, name := range announced {
		columns := append([]string{name + "_old"}, announced[:i]...)
		columns = append(columns, announced[i+1:]...)
		err := (&decoder{layout: layout.Own()}).relation(relationMessage(7, columns...)[1:])
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), "public.outbox") {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestInsertOfWhatAnOutboxCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	good := insertMessage(outboxOID, values(exampleRow(1))...)[1:]
	for name, m := range map[string][]byte{
		"not announced":     insertMessage(7, values(exampleRow(1))...)[1:],
		"an old tuple":      bytes.Replace(good, []byte("N"), []byte("O"), 1),
		"unchanged TOAST":   bytes.Replace(good, []byte("t\x00\x00\x00\x05seq 1"), []byte("u"), 1),
		"binary":            bytes.Replace(good, []byte("t\x00\x00\x00\x05seq 1"), []byte("b\x00\x00\x00\x05seq 1"), 1),
		"too few columns":   insertMessage(outboxOID, values(exampleRow(1))[1:]...)[1:],
		"no column is text": insertMessage(outboxOID, make([][]byte, len(announced))...)[1:],
	} {
		if row, err := announcedDecoder(t, announced...).insert(m); err == nil {
			t.Errorf("%s: got %q", name, row)
		}
	}
	for i, name := range announced {
		v := values(exampleRow(1))
		v[i] = nil
		_, err := announcedDecoder(t, announced...).insert(insertMessage(outboxOID, v...)[1:])
		if name == "headers" && err != nil || name != "headers" && (err == nil || !strings.Contains(err.Error(), `"`+name+`"`)) {
			t.Errorf("NULL in %s: %v", name, err)
		}
	}
}

func TestRowsKeepTheirBytesWhileOthersAreDecoded(t *testing.T) {
	t.Parallel()
	d := announcedDecoder(t, announced...)
	var rows []outbox.Row
	for n := range 2000 { // several blocks of the arena
		row, err := d.insert(insertMessage(outboxOID, values(exampleRow(n))...)[1:])
		if err != nil {
			t.Fatal(err)
		}
		_ = append(row.Payload, "not into the neighbour"...)
		rows = append(rows, row)
	}
	for n, row := range rows {
		if diff := cmp.Diff(row, exampleRow(n)); diff != "" {
			t.Fatalf("row %d (-got +want):\n%s", n, diff)
		}
	}
}

// FuzzDecode feeds any bytes as what the server sends: there are Messages of whole transactions in order, or an error.
// Memory is bounded by what arrived, whatever it claims.
func FuzzDecode(f *testing.F) {
	insert := xlog(insertMessage(outboxOID, values(exampleRow(1))...))
	f.Add(bytes.Join([][]byte{
		keepalive(1, true), xlog(beginMessage(5, 1)), insert, insert, xlog(commitMessage(5, 9)), keepalive(9, false),
		xlog(relationMessage(7, announced...)), xlog(beginMessage(9, 1)), insert,
	}, nil))
	f.Add(frame('E', []byte("SFATAL\x00C57P01\x00Mterminating\x00\x00")))
	f.Add(frame('d', nil))
	f.Add([]byte("d\xff\xff\xff\xffw"))
	f.Add([]byte("d\x0f\xff\xff\xffw"))
	f.Add(xlog(append(insertMessage(outboxOID, nil), "\x00\x09t\xff\xff\xff\xff"...)))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := &Stream{frames: &frames{src: bytes.NewReader(in), buf: make([]byte, 16)}, asm: assembler{decode: decoder{layout: layout.Own()}}}
		if err := s.asm.data(relationMessage(outboxOID, announced...)); err != nil {
			t.Fatal(err)
		}
		for err := error(nil); err == nil; {
			var (
				kind byte
				body []byte
				ok   bool
			)
			kind, body, ok, err = s.frames.next()
			if ok {
				err = s.message(kind, body)
			} else if err == nil {
				err = s.frames.fill()
			}
		}
		if err := wholeTransactions(s.asm.out); err != nil {
			t.Error(err)
		}
		if got := cap(s.asm.decode.arena.block); got > max(arenaBlock, 2*len(in)) {
			t.Errorf("%d bytes in, an arena of %d", len(in), got)
		}
		if got := len(s.frames.buf); got > max(16, 2*len(in)+frameHeader) {
			t.Errorf("%d bytes in, a buffer of %d", len(in), got)
		}
		for _, table := range s.asm.decode.tables {
			if got := table.Len(); got > max(len(announced), len(in)) {
				t.Errorf("%d bytes in, %d columns", len(in), got)
			}
		}
	})
}
