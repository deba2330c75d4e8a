package wal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// wholeTransactions checks what a Stream promises of its messages. The last transaction may be unfinished.
func wholeTransactions(messages []Message) error {
	var (
		begun      outbox.LSN
		open, last bool
	)
	for i, m := range messages {
		var ok bool
		switch m.Kind {
		case Begin:
			ok = !open && m.LSN > begun
			open, last, begun = true, false, m.LSN
		case Insert:
			ok, last = open && !last, m.Last
		case Commit:
			ok = open && m.LSN > begun && (last || messages[i-1].Kind == Begin)
			open = false
		case Idle:
			ok = !open
		}
		if !ok {
			return fmt.Errorf("not whole transactions in commit order: message %d is %+v", i, m)
		}
	}
	return nil
}

// feed gives messages, of pgoutput or keepalives, to an assembler that knows the table.
func feed(t testing.TB, messages ...[]byte) ([]Message, error) {
	t.Helper()
	a := assembler{decode: decoder{layout: layout.Own()}}
	if err := a.data(relationMessage(outboxOID, announced...)); err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := a.data(m); err != nil {
			return a.out, err
		}
	}
	return a.out, nil
}

func insertNo(n int) []byte { return insertMessage(outboxOID, values(exampleRow(n))...) }

func TestOnlyTheLastRowOfATransactionIsMarked(t *testing.T) {
	t.Parallel()
	got, err := feed(t,
		beginMessage(10, 0), insertNo(1), insertNo(2), insertNo(3), commitMessage(10, 12),
		beginMessage(20, 0), insertNo(4), commitMessage(20, 22),
		beginMessage(30, 0), commitMessage(30, 32), // of other tables only
	)
	if err != nil {
		t.Fatal(err)
	}
	epoch := postgresTime(0)
	want := []Message{
		{Kind: Begin, LSN: 10, Time: epoch},
		{Kind: Insert, Row: exampleRow(1)},
		{Kind: Insert, Row: exampleRow(2)},
		{Kind: Insert, Row: exampleRow(3), Last: true},
		{Kind: Commit, LSN: 12},
		{Kind: Begin, LSN: 20, Time: epoch},
		{Kind: Insert, Row: exampleRow(4), Last: true},
		{Kind: Commit, LSN: 22},
		{Kind: Begin, LSN: 30, Time: epoch},
		{Kind: Commit, LSN: 32},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestStreamThatIsNotOfWholeTransactionsInOrderIsRefused_I3(t *testing.T) {
	t.Parallel()
	for name, messages := range map[string][][]byte{
		"insert before begin":        {insertNo(1)},
		"insert after commit":        {beginMessage(10, 0), commitMessage(10, 12), insertNo(1)},
		"commit before begin":        {commitMessage(10, 12)},
		"commit twice":               {beginMessage(10, 0), commitMessage(10, 12), commitMessage(10, 12)},
		"commit of another":          {beginMessage(10, 0), commitMessage(11, 12)},
		"commit that ends before it": {beginMessage(10, 0), commitMessage(10, 10)},
		"begin inside":               {beginMessage(10, 0), beginMessage(20, 0)},
		"begin of the same":          {beginMessage(10, 0), commitMessage(10, 12), beginMessage(10, 0)},
		"begin of an earlier one":    {beginMessage(10, 0), commitMessage(10, 12), beginMessage(9, 0)},
		"streamed in progress":       {append([]byte{'S'}, make([]byte, 5)...)},
		"prepared":                   {append([]byte{'b'}, make([]byte, 30)...)},
		"nothing":                    {nil},
	} {
		if got, err := feed(t, messages...); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestChangesThatThePublicationMustNotSendAreRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for _, kind := range "UDT" {
		if _, err := feed(t, []byte{byte(kind), 0}); err == nil || !strings.Contains(err.Error(), `ALTER PUBLICATION "outbox" SET (publish = 'insert')`) {
			t.Errorf("%c: %v", kind, err)
		}
	}
	if _, err := feed(t, []byte("Ytype"), []byte("Oorigin")); err != nil {
		t.Errorf("what an outbox has no need of: %v", err)
	}
}

// TestAnyInterleavingIsWholeTransactionsOrRefused_I3 holds the assembler against a model that says which message may come.
func TestAnyInterleavingIsWholeTransactionsOrRefused_I3(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			a       = assembler{decode: decoder{layout: layout.Own()}}
			open    bool
			current outbox.LSN
			rows    int
			idles   int
		)
		if err := a.data(relationMessage(outboxOID, announced...)); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			lsn := outbox.LSN(rapid.IntRange(0, int(current)+3).Draw(t, "lsn"))
			var err error
			allowed := true
			switch rapid.SampledFrom([]string{"begin", "insert", "insert", "commit", "idle", "relation"}).Draw(t, "message") {
			case "begin":
				allowed = !open && lsn > current
				err = a.data(beginMessage(lsn, 0))
				open, current = true, lsn
			case "insert":
				allowed = open
				err = a.data(insertNo(rows))
				rows++
			case "commit":
				end := lsn + outbox.LSN(rapid.IntRange(0, 2).Draw(t, "length"))
				allowed = open && lsn == current && end > lsn
				err = a.data(commitMessage(lsn, end))
				open = false
			case "idle":
				a.idle(lsn, false)
				if !open {
					idles++
				}
			case "relation":
				err = a.data(relationMessage(outboxOID, announced...))
			}
			if allowed != (err == nil) {
				t.Fatalf("allowed %v, got %v after %+v", allowed, err, a.out)
			}
			if err != nil {
				break
			}
		}
		if err := wholeTransactions(a.out); err != nil {
			t.Fatal(err)
		}
		next := 0
		for _, m := range a.out {
			switch m.Kind {
			case Insert:
				if got, want := string(m.Row.Seq), string(exampleRow(next).Seq); got != want {
					t.Fatalf("row %q, want %q", got, want)
				}
				next++
			case Idle:
				idles--
			}
		}
		if idles != 0 {
			t.Fatalf("%d keepalives are missing", idles)
		}
	})
}
