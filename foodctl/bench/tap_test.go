package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	testFence = `
UPDATE projection_offsets
SET next_offset = $3
WHERE part = $1
  AND claim = $4
  AND next_offset = $2`
	testUpsert = `INSERT INTO order_summary AS s (order_id) SELECT * FROM unnest($1::uuid[])`
)

// client says what a client says.
type client struct {
	t    *testing.T
	said []byte
}

func (c *client) say(list ...pgproto3.FrontendMessage) {
	c.t.Helper()
	for _, m := range list {
		var err error
		if c.said, err = m.Encode(c.said); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *client) start() {
	c.t.Helper()
	c.say(&pgproto3.SSLRequest{}, &pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters:      map[string]string{"user": "u", "database": "d", "lock_timeout": "2000ms"},
	}, &pgproto3.PasswordMessage{Password: "x"})
	for name, sql := range map[string]string{"b": "BEGIN", "f": testFence, "r": "SELECT 1", "w": testUpsert, "c": "COMMIT", "a": "ROLLBACK", "k": "UPDATE projection_offsets SET claim = $1"} {
		c.say(&pgproto3.Parse{Name: name, Query: sql}, &pgproto3.Describe{ObjectType: 'S', Name: name})
	}
	c.say(&pgproto3.Sync{})
}

// run binds and executes a statement.
func (c *client) run(name string, parameters ...int32) {
	c.t.Helper()
	c.say(bindOf(name, parameters...), &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{})
}

func bindOf(name string, parameters ...int32) *pgproto3.Bind {
	b := &pgproto3.Bind{PreparedStatement: name, ParameterFormatCodes: []int16{1}}
	for _, p := range parameters {
		b.Parameters = append(b.Parameters, binary.BigEndian.AppendUint32(nil, uint32(p)))
	}
	return b
}

// batch says a batch as the projector does.
func (c *client) batch(part, next int32) {
	c.t.Helper()
	c.run("b")
	c.run("f", part, next, next+10, 7)
	c.run("r")
	c.say(&pgproto3.Sync{})
	c.run("w", next)
	c.run("c")
	c.say(&pgproto3.Sync{})
}

// shown is what is recorded of what was said, in pieces of a size.
func (c *client) shown(size int) *recording {
	c.t.Helper()
	r, err := newRecording(filepath.Join(c.t.TempDir(), "recording"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := r.close(); err != nil {
			c.t.Error(err)
		}
	})
	to := &tap{to: r}
	for piece := range slices.Chunk(c.said, size) {
		if n, err := to.Write(piece); n != len(piece) || err != nil {
			c.t.Fatalf("%d of %d bytes were taken, %v", n, len(piece), err)
		}
	}
	return r
}

func TestWhatABatchSaysIsRecordedByItsRoleAndPartition(t *testing.T) {
	t.Parallel()
	c := &client{t: t}
	c.start()
	c.run("b") // a claim
	c.run("r")
	c.run("k", 1)
	c.run("c")
	c.say(&pgproto3.Sync{})
	c.batch(1, 100)
	c.run("b") // one that is given up
	c.run("f", 1, 110, 120, 7)
	c.say(&pgproto3.Sync{})
	c.run("a")
	c.say(&pgproto3.Sync{})
	c.batch(0, 0)
	c.batch(1, 110)
	c.batch(2, 5)

	want := &client{t: t}
	var ends [roles]int
	for role, name := range []string{"b", "f", "r", "w"} {
		want.run(name, map[string][]int32{"f": {1, 110, 120, 7}, "w": {110}}[name]...)
		if name == "w" {
			want.run("c")
		}
		ends[role] = len(want.said)
	}
	for _, size := range []int{1, 7, len(c.said)} {
		r := c.shown(size)
		if err := r.done(); err != nil {
			t.Fatal(err)
		}
		if got := [3]int{len(r.batches[0]), len(r.batches[1]), len(r.batches[2])}; got != [3]int{1, 2, 1} || r.transactions() != 4 {
			t.Fatalf("%v batches by partition, %d in all", got, r.transactions())
		}
		if diff := cmp.Diff(map[string]string{"lock_timeout": "2000ms"}, r.session); diff != "" {
			t.Errorf("the session's parameters (-want +got):\n%s", diff)
		}
		if !slices.Equal(r.tables, []string{"order_summary"}) {
			t.Errorf("tables %q", r.tables)
		}
		b := r.batches[1][1]
		got, err := r.messages(b)
		if err != nil || b.next != 110 {
			t.Fatalf("from offset %d, want 110; %v", b.next, err)
		}
		from := 0
		for role, end := range ends {
			if !bytes.Equal(got[role], want.said[from:end]) {
				t.Errorf("pieces of %d: role %d is %q, want %q", size, role, got[role], want.said[from:end])
			}
			from = end
		}
	}
}

func TestAStatementWithoutANameIsRecordedWithItsText(t *testing.T) {
	t.Parallel()
	c, want := &client{t: t}, &client{t: t}
	c.start()
	c.run("b")
	c.run("f", 0, 1, 2, 3)
	c.say(&pgproto3.Sync{})
	for _, to := range []*client{c, want} {
		to.say(&pgproto3.Parse{Query: testUpsert})
		to.run("", 9)
		to.say(&pgproto3.Query{String: "COPY order_timeline FROM STDIN"}, &pgproto3.CopyData{Data: []byte("x")}, &pgproto3.CopyDone{})
		to.run("c")
	}
	c.say(&pgproto3.Sync{})
	r := c.shown(100)
	if len(r.batches[0]) != 1 || r.batches[0][0].queries != 1 {
		t.Fatalf("%+v, %v", r.batches, r.err)
	}
	r.out.Flush() //nolint:errcheck // reading fails then
	got, err := r.messages(r.batches[0][0])
	if err != nil || !bytes.Equal(got[writes], want.said) {
		t.Errorf("%q, %v: want %q", got[writes], err, want.said)
	}
}

func TestWhatCannotBeReplayedIsAnErrorOfTheRecording(t *testing.T) {
	t.Parallel()
	encrypted := &client{t: t, said: []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc}}
	if err := encrypted.shown(3).done(); !errors.Is(err, errEncrypted) {
		t.Errorf("of a TLS connection: %v", err)
	}
	one := &client{t: t}
	one.start()
	one.batch(0, 0)
	if err := one.shown(100).done(); err == nil {
		t.Error("two partitions have no batch, and it is no error")
	}
	odd := &client{t: t}
	odd.start()
	odd.batch(3, 0)
	if err := odd.shown(100).done(); err == nil {
		t.Error("there is no partition 3, and it is no error")
	}
}
