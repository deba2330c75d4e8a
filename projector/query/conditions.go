package query

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// readAfter is the parameter that a link or an EventSource has in the place of the header Read-After.
const readAfter = "read_after"

const (
	usualWait   = 2 * time.Second
	longestWait = 30 * time.Second
	mostTokens  = 16
)

// conditions are what an answer has to reflect, and what to do about it if it is not there yet.
type conditions struct {
	after   []token
	wait    time.Duration // how long to wait for it
	lenient bool          // answer without it rather than not at all
	applied []string      // the preferences that are honoured, as the answer tells them
}

// token is a version of an order, as the answers of orderservice have it in Order-Version.
type token struct {
	order   uuid.UUID
	version int64
}

// String returns id@version.
func (t token) String() string { return t.order.String() + "@" + strconv.FormatInt(t.version, 10) }

// parseToken reads what String writes.
func parseToken(s string) (token, bool) {
	order, version, found := strings.Cut(s, "@")
	id, err := uuid.Parse(order)
	if !found || err != nil || id.String() != order {
		return token{}, false
	}
	n, ok := decimal(version)
	return token{id, n}, ok && n > 0
}

var digits = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)

// decimal reads a number from 0 on in its one form, of so many digits that sums of two fit.
func decimal(s string) (n int64, ok bool) {
	if !digits.MatchString(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// conditionsOf reads Read-After, the parameter of that name, and Prefer.
func conditionsOf(h http.Header, parameter string) (c conditions, err error) {
	if c.after, err = tokens("header", "Read-After", strings.Join(h.Values("Read-After"), ",")); err != nil {
		return c, err
	}
	linked, err := tokens("query", readAfter, parameter)
	if err != nil {
		return c, err
	}
	c.after = append(c.after, linked...)
	if len(c.after) == 0 {
		return c, nil // preferences are about waiting alone
	}
	c.prefer(h.Values("Prefer"))
	return c, nil
}

// tokens reads a list of tokens.
func tokens(in, name, list string) (all []token, err error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		t, ok := parseToken(strings.TrimSpace(text))
		if !ok || len(all) == mostTokens {
			return nil, refused(in, name, "token", fmt.Sprintf("%s is 1 to %d of the Order-Version of orderservice's answers, id@version, separated by commas", name, mostTokens))
		}
		all = append(all, t)
	}
	return all, nil
}

// preference is one preference of a Prefer header (RFC 7240 section 2) and what follows it.
var preference = regexp.MustCompile(`\s*([!#$%&'*+.^_\x60|~0-9A-Za-z-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?((?:[^,"]|"(?:[^"\\]|\\.)*")*)(?:,|$)`)

// prefer reads wait and handling (RFC 7240 sections 4.3 and 4.4). What is not understood is no error there; of two of a
// name the first one counts.
func (c *conditions) prefer(headers []string) {
	c.wait = usualWait
	seen := make(map[string]bool)
	for _, m := range preference.FindAllStringSubmatch(strings.Join(headers, ","), -1) {
		name, value := strings.ToLower(m[1]), strings.Trim(m[2], `"`)
		if seen[name] {
			continue
		}
		seen[name] = true
		switch seconds, is := decimal(value); {
		case name == "wait" && is:
			c.wait = time.Duration(min(seconds, int64(longestWait/time.Second))) * time.Second
			c.applied = append(c.applied, fmt.Sprintf("wait=%d", int64(c.wait/time.Second)))
		case name == "handling" && (value == "lenient" || value == "strict"):
			c.lenient = value == "lenient"
			c.applied = append(c.applied, "handling="+value)
		}
	}
}
