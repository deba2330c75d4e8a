package query

import (
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// cursor is the last row of a page that is sorted by a time and then by the order's id. Any value is a place to go on from,
// so it needs no signature.
type cursor struct {
	at    time.Time // in microseconds, as the database has it
	order uuid.UUID
}

// String returns the cursor as links have it.
func (c cursor) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.at.UnixMicro())) //nolint:gosec // and back
	return base64.RawURLEncoding.EncodeToString(append(b, c.order[:]...))
}

// parseCursor reads what String writes.
func parseCursor(s string) (c cursor, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 8+len(c.order) {
		return cursor{}, false
	}
	c.at = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC() //nolint:gosec // as String made it
	if c.at.Year() < 1 || c.at.Year() > 9999 {                     // what a timestamptz can be is not much more
		return cursor{}, false
	}
	copy(c.order[:], b[8:])
	return c, true
}

const (
	usualPage   = 20
	longestPage = 200
)

// The cursors before all rows of a list with the newest first, and with the oldest first.
var (
	newest = cursor{at: time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)}
	oldest = cursor{at: time.Date(1, time.January, 1, 0, 0, 0, 0, time.UTC)}
)

// page reads limit and cursor, which is first if it is not given.
func (r *request) page(first cursor) (limit int64, from cursor, err error) {
	if limit, err = r.number("limit", 1, longestPage, usualPage); err != nil {
		return 0, first, err
	}
	text, given := r.values["cursor"]
	if !given {
		return limit, first, nil
	}
	from, ok := parseCursor(text)
	if !ok {
		return 0, first, refused("query", "cursor", "cursor", "cursor is what the Link of another page has")
	}
	return limit, from, nil
}

// nextPage is the link to this request's next page: the same with one parameter changed.
func (r *request) nextPage(name, value string) string {
	query := make(url.Values)
	for given, text := range r.values {
		if given != readAfter { // it has been read
			query.Set(given, text)
		}
	}
	query.Set(name, value)
	return r.URL.Path + "?" + query.Encode()
}
