package outbox

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// LSN is a byte position in the write-ahead log of one timeline of one Postgres cluster.
type LSN uint64

// String formats the position as Postgres does: two hexadecimal halves, e.g. 16/B374D848.
func (l LSN) String() string {
	return string(l.Append(nil))
}

// Append appends what String returns.
func (l LSN) Append(b []byte) []byte {
	b = appendHex(b, uint32(l>>32))
	return appendHex(append(b, '/'), uint32(l))
}

func appendHex(b []byte, n uint32) []byte {
	const digits = "0123456789ABCDEF"
	for shift := max(0, bits.Len32(n)-1) &^ 3; shift >= 0; shift -= 4 {
		b = append(b, digits[n>>shift&15])
	}
	return b
}

// ParseLSN reads what String writes and what Postgres prints.
func ParseLSN(s string) (LSN, error) {
	high, low, found := strings.Cut(s, "/")
	h, errHigh := strconv.ParseUint(high, 16, 32)
	l, errLow := strconv.ParseUint(low, 16, 32)
	if !found || errHigh != nil || errLow != nil {
		return 0, fmt.Errorf("malformed LSN %q: want two hexadecimal numbers such as 16/B374D848", s)
	}
	return LSN(h<<32 | l), nil
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (l LSN) MarshalText() ([]byte, error) {
	return []byte(l.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler with ParseLSN.
func (l *LSN) UnmarshalText(b []byte) (err error) {
	*l, err = ParseLSN(string(b))
	return err
}
