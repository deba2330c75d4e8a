package wal

import (
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Kind says what a Message is.
type Kind uint8

// A transaction arrives as Begin, its Inserts and Commit, with no other transaction between them. Idle stands between
// transactions. Hole stands where the server begins to leave changes out, see Stream.Skipped.
const (
	Begin Kind = iota + 1
	Insert
	Commit
	Idle
	Hole
)

// Message is one step of the stream.
type Message struct {
	Kind Kind

	// LSN is, of a Begin, the transaction's commit LSN; of a Commit, its end LSN; of an Idle, a position below which
	// every committed transaction has been delivered.
	LSN outbox.LSN

	Time  time.Time  // of a Begin: when the transaction committed
	Row   outbox.Row // of an Insert
	Last  bool       // of an Insert: whether it is the last of its transaction
	Asked bool       // of an Idle: whether the server waits for an acknowledgement, as it does when it shuts down
}

// Chunk is some messages and the memory that their rows are in.
type Chunk struct {
	Messages []Message
	// More says that more is on its way, because the stream is behind: what it has come to was committed a while ago.
	More bool

	block []byte
}

// assembler turns protocol messages into Messages, in order, and refuses what cannot be a stream of whole transactions.
// It holds an insert back until the next message tells whether it was the last.
type assembler struct {
	decode decoder
	out    []Message

	inTx   bool
	commit outbox.LSN // of the transaction that is open, or was last
	at     time.Time  // when that one committed
	held   outbox.Row // if holds
	holds  bool
}

// data takes one pgoutput message.
func (a *assembler) data(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("pgoutput message: %w", errTruncated)
	}
	kind, body := b[0], b[1:]
	switch kind {
	case 'B':
		return a.begin(body)
	case 'I':
		return a.insert(body)
	case 'C':
		return a.end(body)
	case 'R':
		return a.decode.relation(body)
	case 'Y', 'O': // a type's name, a replication origin: nothing that an outbox row needs
		return nil
	case 'U', 'D', 'T':
		return fmt.Errorf("the publication sends a change of kind %q: it must publish inserts only; "+
			"run ALTER PUBLICATION %s SET (publish = 'insert')", kind, quoteIdentifier(a.decode.layout.Publication))
	default:
		return fmt.Errorf("unknown pgoutput message %q", kind)
	}
}

func (a *assembler) begin(b []byte) error {
	m, err := a.decode.begin(b)
	if err != nil {
		return err
	}
	if a.inTx || m.commit <= a.commit {
		return fmt.Errorf("transaction %s begins after %s: not in commit order", m.commit, a.commit)
	}
	a.inTx, a.commit, a.at = true, m.commit, m.time
	a.out = append(a.out, Message{Kind: Begin, LSN: m.commit, Time: m.time})
	return nil
}

func (a *assembler) insert(b []byte) error {
	if !a.inTx {
		return fmt.Errorf("insert outside of a transaction, after %s", a.commit)
	}
	row, err := a.decode.insert(b)
	if err != nil {
		return fmt.Errorf("transaction %s: %w", a.commit, err)
	}
	a.release(false)
	a.held, a.holds = row, true
	return nil
}

func (a *assembler) end(b []byte) error {
	m, err := a.decode.commit(b)
	if err != nil {
		return err
	}
	if !a.inTx || m.lsn != a.commit || m.end <= m.lsn {
		return fmt.Errorf("commit of %s (end %s) where %s was open", m.lsn, m.end, a.commit)
	}
	a.release(true)
	a.inTx = false
	a.out = append(a.out, Message{Kind: Commit, LSN: m.end})
	return nil
}

// idle takes a keepalive. Inside a transaction it says nothing: what is open is not delivered yet.
func (a *assembler) idle(walEnd outbox.LSN, asked bool) {
	if !a.inTx {
		a.out = append(a.out, Message{Kind: Idle, LSN: walEnd, Asked: asked})
	}
}

// hole takes the news that changes are left out. A row that is held back may stand behind it: nothing is lost by asking earlier.
func (a *assembler) hole() {
	a.out = append(a.out, Message{Kind: Hole})
}

func (a *assembler) release(last bool) {
	if a.holds {
		a.out = append(a.out, Message{Kind: Insert, Row: a.held, Last: last})
		a.holds = false
	}
}

// cut takes what has been assembled, and goes on in the memory of next. A row that is held back moves there: the chunk's own
// memory is its receiver's.
func (a *assembler) cut(next *Chunk) *Chunk {
	messages, block := next.Messages[:0], next.block[:0]
	next.Messages, next.block = a.out, a.decode.arena.block
	a.out, a.decode.arena.block = messages, block
	if a.holds {
		a.held = a.decode.arena.adopt(a.held)
	}
	return next
}
