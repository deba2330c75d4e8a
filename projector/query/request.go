package query

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// request is a request as it was understood.
type request struct {
	*http.Request
	conditions

	values map[string]string // the parameters that were given, each once
}

// understand reads what every request may have. A parameter that the path does not know is an error: a misspelt one would
// otherwise be taken for absent.
func understand(r *http.Request, parameters []string) (*request, error) {
	if r.ContentLength != 0 {
		return nil, refused("header", "Content-Length", "body", "a GET has no body here")
	}
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refused("query", "", "syntax", "the query string is not well-formed")
	}
	req := &request{Request: r, values: make(map[string]string, len(given))}
	for name, values := range given {
		if name != readAfter && !slices.Contains(parameters, name) {
			return nil, refused("query", name, "unknown_parameter", fmt.Sprintf("%q is none of %s", name, strings.Join(append([]string{readAfter}, parameters...), ", ")))
		}
		if len(values) > 1 {
			return nil, refused("query", name, "repeated", name+" is given more than once")
		}
		req.values[name] = values[0]
	}
	req.conditions, err = conditionsOf(r.Header, req.values[readAfter])
	return req, err
}

// extend gives a request that may wait the time for it: the listener's own limits are shorter. A connection without
// deadlines, as tests have, needs none.
func (r *request) extend(c *http.ResponseController) {
	if len(r.after) > 0 {
		end := time.Now().Add(r.wait + 3*patience) // it looks before, after, and whether the order is blocked
		_ = c.SetReadDeadline(end)
		_ = c.SetWriteDeadline(end)
	}
}

// has reports whether a parameter is given.
func (r *request) has(name string) bool {
	_, given := r.values[name]
	return given
}

// number is a parameter from lowest to highest, or otherwise if it is not given.
func (r *request) number(name string, lowest, highest, otherwise int64) (int64, error) {
	text, given := r.values[name]
	if !given {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < lowest || n > highest {
		return 0, refused("query", name, "range", fmt.Sprintf("%s is a number from %d to %d", name, lowest, highest))
	}
	return n, nil
}

// choice is a parameter that is one of these; empty if it is not given.
func (r *request) choice(name string, from []string) (string, error) {
	value, given := r.values[name]
	if given && !slices.Contains(from, value) {
		return "", refused("query", name, "choice", fmt.Sprintf("%s is one of %s", name, strings.Join(from, ", ")))
	}
	return value, nil
}

// time is a parameter that is a point in time; given is false if there is none.
func (r *request) time(name string) (at time.Time, given bool, err error) {
	text, given := r.values[name]
	if !given {
		return time.Time{}, false, nil
	}
	if at, err = time.Parse(time.RFC3339Nano, text); err != nil || at.Year() < 1 {
		return time.Time{}, false, refused("query", name, "time", name+" is a time such as 2026-11-23T10:00:00Z (RFC 3339; a + in it is written %2B)")
	}
	return at, true, nil
}

// interval reads from and to: to is now if it is not given, from is usual before to.
func (r *request) interval(usual, longest time.Duration) (from, to time.Time, err error) {
	to, given, err := r.time("to")
	if err != nil {
		return from, to, err
	}
	if !given {
		to = time.Now().UTC().Truncate(time.Second)
	}
	from, given, err = r.time("from")
	if err != nil {
		return from, to, err
	}
	if !given {
		from = to.Add(-usual)
	}
	if !from.Before(to) || to.Sub(from) > longest {
		return from, to, refused("query", "from", "range", fmt.Sprintf("from is before to, by at most %s", longest))
	}
	return from, to, nil
}

// orderOf reads the order's id in the path, in the one form that answers give it.
func orderOf(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil || id.String() != r.PathValue("id") {
		return uuid.Nil, &problem{kind: notFound, detail: "an order's id is a UUID in lower case"}
	}
	return id, nil
}

// customerOf reads the customer's id in the path. Who is a customer the read model does not know.
func customerOf(r *http.Request) (int32, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != r.PathValue("id") {
		return 0, &problem{kind: notFound, detail: "a customer's id is a positive number"}
	}
	return int32(id), nil
}
