package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Scope is what a token allows. Each allows what those before it do: who may change a thing may see it.
type Scope int

// The scopes.
const (
	Read    Scope = iota + 1 // to look
	Command                  // to give commands
	Admin                    // to erase and to break things, and to have profiles made
)

var scopes = []string{Read: "read", Command: "command", Admin: "admin"}

// String is the scope's name.
func (s Scope) String() string { return scopes[s] }

// UnmarshalText reads the scope's name.
func (s *Scope) UnmarshalText(name []byte) error {
	i := slices.Index(scopes, string(name))
	if i < int(Read) {
		return errors.New("want the scope read, command or admin")
	}
	*s = Scope(i)
	return nil
}

// token is a line of the file. The token itself is not in it: who reads the file cannot use what he reads.
type token struct {
	name  string
	scope Scope
	sum   [sha256.Size]byte // of the token's text; a secret of 256 random bits needs no slow hash
}

// tokens are those of a file.
type tokens []token

// names become the actor in the headers of events, and are logged.
// nothing is the hash of no token at all, which a script makes of a variable that is not set.
var nothing = sha256.Sum256(nil)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// NewToken makes a token, and its line for a token file.
func NewToken(name string, scope Scope) (text, line string, err error) {
	if !namePattern.MatchString(name) {
		return "", "", errors.New("want a name of a-z, 0-9 and ._- after the first, 64 at most")
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	text = hex.EncodeToString(random)
	return text, token{name, scope, sha256.Sum256([]byte(text))}.String(), nil
}

// String is the line of a file.
func (t token) String() string { return fmt.Sprintf("%s %s %x", t.name, t.scope, t.sum) }

// parseTokens reads a token file: NAME SCOPE SHA256 in each line, with comments from # on. One without a token is good: it opens
// nothing. An error names the line and nothing of what is in it, which may be a token in the wrong place.
func parseTokens(contents [][]byte) (tokens, error) {
	var all tokens
	number := 0
	for line := range bytes.Lines(contents[0]) {
		number++
		line, _, _ = bytes.Cut(line, []byte("#"))
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		t, err := parseToken(fields)
		if err == nil {
			err = all.clash(t)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func parseToken(fields []string) (t token, err error) {
	if len(fields) != 3 {
		return t, fmt.Errorf("want NAME SCOPE SHA256, which foodctl token prints, and there are %d fields", len(fields))
	}
	if t.name = fields[0]; !namePattern.MatchString(t.name) {
		return t, errors.New("want a name of a-z, 0-9 and ._- after the first, 64 at most")
	}
	if err := t.scope.UnmarshalText([]byte(fields[1])); err != nil {
		return t, err
	}
	sum, err := hex.DecodeString(fields[2])
	if err != nil || len(sum) != len(t.sum) {
		return t, fmt.Errorf("the third field is no SHA-256, %d digits in hex", 2*len(t.sum))
	}
	if copy(t.sum[:], sum); t.sum == nothing {
		return t, errors.New("the third field is the SHA-256 of nothing: was the token empty?")
	}
	return t, nil
}

func (ts tokens) clash(t token) error {
	for _, other := range ts {
		switch {
		case other.name == t.name:
			return errors.New("another line has the same name")
		case other.sum == t.sum:
			return errors.New("another line has the same token")
		}
	}
	return nil
}

// find returns whose a presented token is. It takes the same time wherever in the file it is, and if it is not.
func (ts tokens) find(presented string) (t token, known bool) {
	sum := sha256.Sum256([]byte(presented))
	for _, candidate := range ts {
		if subtle.ConstantTimeCompare(sum[:], candidate.sum[:]) == 1 {
			t, known = candidate, true
		}
	}
	return t, known
}
