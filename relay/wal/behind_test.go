package wal

import (
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// How late a transaction is, is the server's to say: its clock may be another one.
func TestStreamIsBehindByTheServersClock(t *testing.T) {
	t.Parallel()
	committed := postgresTime(1)
	const body = 5 // where a frame's begins
	for name, tt := range map[string]struct {
		sent time.Duration // after the commit
		then [][]byte
		want bool
	}{
		"at once":                   {sent: time.Millisecond},
		"late":                      {sent: backlogAge + time.Millisecond, want: true},
		"late, and nothing follows": {sent: time.Minute, then: [][]byte{keepalive(30, false)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Stream{asm: assembler{decode: decoder{layout: layout.Own()}}}
			messages := [][]byte{
				xlogSent(committed.Add(tt.sent), beginMessage(10, 1)), xlogSent(committed.Add(tt.sent), commitMessage(10, 20)),
			}
			for _, m := range append(messages, tt.then...) {
				if err := s.copyData(m[body:]); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.behind(s.asm.cut(new(Chunk)).Messages); got != tt.want {
				t.Errorf("got %v", got)
			}
			if got := s.behind(nil); got != (tt.sent > backlogAge) {
				t.Errorf("behind a row that is held back: got %v", got)
			}
		})
	}
}

func TestHoleStandsInFrontOfWhatComesBehindIt(t *testing.T) {
	t.Parallel()
	server, r := converse(t)
	notice := append([]byte("SWARNING\x00C55000\x00Mskipped loading publication\x00"), 0)
	server.send(xlog(beginMessage(10, 1)), xlog(commitMessage(10, 20)), frame('N', notice), xlog(beginMessage(30, 1)), xlog(commitMessage(30, 40)))
	want := []Kind{Begin, Commit, Hole, Begin, Commit}
	for i := range want {
		if m := r.next(); m.Kind != want[i] {
			t.Fatalf("message %d is of kind %d, want %d", i, m.Kind, want[i])
		}
	}
	if got := r.Skipped(); got != "skipped loading publication" {
		t.Errorf("got %q", got)
	}
}
