package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// recording is what a projector's batches said to Postgres, byte for byte and by partition: what a bare client replays
// then has the rows of all read models, in batches of the same sizes and in the same statements. It is read off the wire,
// so it needs nothing of the projector but that its batches are transactions, and that one begins with the fence.
type recording struct {
	file *os.File

	mu         sync.Mutex // guards what follows
	out        *bufio.Writer
	size       int64
	session    map[string]string // parameters of the sessions
	statements map[string]statement
	batches    [topic.Partitions][]batch
	tables     []string // that batches insert into, sorted
	err        error    // the first
}

// role is what a statement is for in a batch.
type role int

const (
	begin  role = iota
	fence       // moves the partition's offset, if that is where the batch believes it to be
	read        // of the state that is folded on
	writes      // the read models' rows, and at last the commit
	roles

	commit
	other // ends a transaction otherwise
)

// statement is a prepared one.
type statement struct {
	role  role
	parse []byte // the message that prepares it
	table string // that it inserts into; empty if it does something else

	part, next int // of a fence: the places of the parameters that name the partition and the offset that it must be at
}

// batch is a transaction that was recorded.
type batch struct {
	at      int64        // where its messages begin in the file, those of one role behind those of another
	sizes   [roles]int64 // of the messages
	queries int          // how many of the writes the server answers by themselves: simple queries, such as COPY
	next    int64        // the offset that its fence wants the partition to be at
}

func newRecording(path string) (*recording, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &recording{
		file: file, out: bufio.NewWriterSize(file, 1<<20), session: make(map[string]string), statements: make(map[string]statement),
	}, nil
}

func (r *recording) close() error { return errors.Join(r.file.Close(), os.Remove(r.file.Name())) }

// done ends the recording. What was said in it is an error if that cannot be replayed.
func (r *recording) done() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = r.out.Flush()
	}
	for part, list := range r.batches {
		if len(list) == 0 && r.err == nil {
			r.err = fmt.Errorf("no batch of partition %d: is %s no longer what a batch begins with?", part, offsets)
		}
	}
	if r.err != nil {
		return fmt.Errorf("record the projector's statements: %w", r.err)
	}
	return nil
}

// transactions is how many batches there are.
func (r *recording) transactions() (n int64) {
	for _, list := range r.batches {
		n += int64(len(list))
	}
	return n
}

// offsets is the table that a fence moves.
const offsets = "projection_offsets"

var (
	movesOffset = regexp.MustCompile(`(?i)^UPDATE (\w+\.)?` + offsets + `\b`)
	ofPartition = regexp.MustCompile(`(?i)\bpart = \$(\d+)`)
	fromOffset  = regexp.MustCompile(`(?i)\bAND next_offset = \$(\d+)`)
	intoTable   = regexp.MustCompile(`(?i)^INSERT INTO (\w+)`)
)

// understand says what a statement is for.
func understand(sql string, parse []byte) statement {
	sql = strings.TrimSpace(sql)
	s := statement{role: writes, parse: parse}
	word, _, _ := strings.Cut(sql, " ")
	switch strings.ToUpper(strings.TrimRight(word, ";")) {
	case "BEGIN":
		s.role = begin
	case "COMMIT":
		s.role = commit
	case "ROLLBACK":
		s.role = other
	case "SELECT":
		s.role = read
	case "UPDATE":
		part, next := ofPartition.FindStringSubmatch(sql), fromOffset.FindStringSubmatch(sql)
		if movesOffset.MatchString(sql) && part != nil && next != nil {
			s.role = fence
			s.part, _ = strconv.Atoi(part[1])
			s.next, _ = strconv.Atoi(next[1])
		}
	case "INSERT":
		if into := intoTable.FindStringSubmatch(sql); into != nil {
			s.table = into[1]
		}
	}
	return s
}

// prepared notes a statement that has a name, which follows from its text.
func (r *recording) prepared(name string, s statement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements[name] = s
}

func (r *recording) statement(name string) statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.statements[name]
}

// started notes how a session began.
func (r *recording) started(parameters map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.session, parameters)
	delete(r.session, "user")
	delete(r.session, "database")
}

// add notes a transaction, if it is a batch.
func (r *recording) add(t *transaction) {
	if t.next < 0 || !t.wrote {
		return // a claim, or a question
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := batch{at: r.size, queries: t.queries, next: t.next}
	for role, messages := range t.messages {
		b.sizes[role] = int64(len(messages))
		r.size += b.sizes[role]
		_, _ = r.out.Write(messages) // Flush returns its first error
	}
	r.batches[t.part] = append(r.batches[t.part], b)
	for _, table := range t.tables {
		if at, known := slices.BinarySearch(r.tables, table); !known {
			r.tables = slices.Insert(r.tables, at, table)
		}
	}
}

// failed notes that the recording cannot be replayed.
func (r *recording) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// messages reads a batch's messages.
func (r *recording) messages(b batch) (m [roles][]byte, err error) {
	var size int64
	for _, n := range b.sizes {
		size += n
	}
	all := make([]byte, size)
	if _, err := r.file.ReadAt(all, b.at); err != nil {
		return m, fmt.Errorf("read the recording: %w", err)
	}
	for role, n := range b.sizes {
		m[role], all = all[:n:n], all[n:]
	}
	return m, nil
}

var errEncrypted = errors.New("the connection is encrypted: give --database-url with sslmode=disable")

// integer is a parameter in binary form.
func integer(b []byte) (int64, error) {
	switch len(b) {
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b))), nil //nolint:gosec // as Postgres means it
	case 8:
		return int64(binary.BigEndian.Uint64(b)), nil //nolint:gosec // the same
	}
	return 0, fmt.Errorf("a number of %d bytes", len(b))
}
