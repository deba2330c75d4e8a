package pgproxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The types of messages that the proxy looks at (PostgreSQL documentation, section "Message Formats").
const (
	query    = 'Q'
	parse    = 'P'
	bind     = 'B'
	describe = 'D'
	execute  = 'E'
	closing  = 'C'
	syncing  = 'S'

	complete   = 'C'
	empty      = 'I'
	failed     = 'E'
	ready      = 'Z'
	backendKey = 'K'
)

var flushMessage = []byte{'H', 0, 0, 0, 4}

// Codes in the place of the protocol's version.
const (
	cancelRequest = 80877102
	sslRequest    = 80877103
	gssRequest    = 80877104
)

func number(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// readFrame reads a message, its type and length included.
func readFrame(from io.Reader) ([]byte, error) {
	frame := make([]byte, 5)
	if _, err := io.ReadFull(from, frame); err != nil {
		return nil, err
	}
	return readRest(from, frame, number(frame[1:])+1)
}

func readRest(from io.Reader, frame []byte, size uint32) ([]byte, error) {
	if int(size) < len(frame) {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	read := len(frame)
	frame = append(frame, make([]byte, int(size)-read)...)
	_, err := io.ReadFull(from, frame[read:])
	return frame, err
}

// startUp carries the first message, with the proxy's settings in the place of the client's.
func (s *session) startUp(from *bufio.Reader) error {
	for {
		message := make([]byte, 8)
		if _, err := io.ReadFull(from, message); err != nil {
			return err
		}
		code := number(message[4:])
		message, err := readRest(from, message, number(message))
		if err != nil {
			return err
		}
		if code == sslRequest || code == gssRequest {
			if _, err := s.client.Write([]byte{'N'}); err != nil {
				return err
			}
			continue
		}
		if code != cancelRequest {
			message = s.set(message)
		} else if len(message) < 12 || s.orphaned(int32(number(message[8:]))) { //nolint:gosec // a process id
			return errors.New("a request to cancel of a client that was cut off")
		}
		_, _ = s.server.Write(message)
		return nil
	}
}

// set puts the settings into a start-up message: its length, the protocol's version, then names and values, each ending in a zero, and
// another zero.
func (s *session) set(message []byte) []byte {
	words := strings.Split(strings.TrimRight(string(message[8:]), "\x00"), "\x00")
	for name, value := range s.settings {
		for i := 0; i+1 < len(words); i += 2 {
			if words[i] == name {
				words[i+1] = value
			}
		}
	}
	changed := append(bytes.Clone(message[:8]), strings.Join(words, "\x00")+"\x00\x00"...)
	binary.BigEndian.PutUint32(changed, uint32(len(changed))) //nolint:gosec // a start-up message is small
	return changed
}

// names are the statements that were prepared and the portals that were bound, by their names.
type names struct{ statements, portals map[string]string }

func newNames() names {
	return names{statements: make(map[string]string), portals: make(map[string]string)}
}

func newExchange() *Exchange { return &Exchange{done: make(chan struct{})} }

// follow notes what a message of the client's does, the last one of x.request.
func (n names) follow(x *Exchange, frame []byte) {
	body := frame[5:]
	switch frame[0] {
	case query:
		x.SQL = append(x.SQL, word(body))
	case parse:
		n.statements[word(body)] = word(body[len(word(body))+1:])
	case bind:
		n.portals[word(body)] = n.statements[word(body[len(word(body))+1:])]
	case execute:
		x.SQL, x.last = append(x.SQL, n.portals[word(body)]), x.next
		x.next = len(x.request)
	}
}

// word is the text up to a zero.
func word(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}

// asynchronous messages are no answer: parameters, notices, notifications, and those of the authentication.
func asynchronous(kind byte) bool { return strings.IndexByte("SNARKv", kind) >= 0 }

// tagOf is what a message says of a statement that has ended, or nothing if it is no such message.
func tagOf(frame []byte) string {
	switch frame[0] {
	case complete:
		return word(frame[5:])
	case empty:
		return "EMPTY"
	case failed:
		for rest := frame[5:]; len(rest) > 1; rest = rest[len(word(rest))+1:] {
			if rest[0] == 'C' {
				return "ERROR " + word(rest[1:])
			}
		}
		return "ERROR"
	}
	return ""
}
