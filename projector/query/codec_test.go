package query

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "id"))
		c := cursor{time.UnixMicro(rapid.Int64Range(-62135596800e6, 253402300799e6).Draw(r, "at")).UTC(), id}
		if got, ok := parseCursor(c.String()); !ok || got != c {
			r.Fatalf("cursor %v: got %v, %v", c, got, ok)
		}
		k := token{id, rapid.Int64Range(1, 999_999_999_999_999_999).Draw(r, "version")}
		if got, ok := parseToken(k.String()); !ok || got != k {
			r.Fatalf("token %v: got %v, %v", k, got, ok)
		}
		p := position{applied: rapid.MapOf(rapid.Int32Range(0, mostPartitions-1), rapid.Int64Range(0, 999_999_999_999_999_999)).Draw(r, "applied")}
		if rapid.Bool().Draw(r, "begun") {
			p.source = sourceOf(id, rapid.Uint32().Draw(r, "table"))
		}
		if got, ok := parsePosition(p.String()); !ok || got.String() != p.String() || !got.covers(p) || !p.covers(got) {
			r.Fatalf("position %v: got %v, %v", p, got, ok)
		}
	})
}

func FuzzCodecsHaveOneForm(f *testing.F) {
	for _, s := range []string{"", "@", "0:1,1:22@6f1f4c5e.40a3", "0:1", "00:1@", "0:1,0:2@", "1024:0@", "6f1f4c5e-0000-4000-8000-000000000001@1", "6F1F4C5E-0000-4000-8000-000000000001@1", newest.String()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if k, ok := parseToken(s); ok && k.String() != s {
			t.Errorf("token %q is written %q", s, k)
		}
		if c, ok := parseCursor(s); ok && c.String() != s {
			t.Errorf("cursor %q is written %q", s, c)
		}
		if p, ok := parsePosition(s); ok {
			if again, ok := parsePosition(p.String()); !ok || again.String() != p.String() || len(p.String()) != len(s) {
				t.Errorf("position %q is written %q", s, p)
			}
		}
	})
}
