// Package edge is what the HTTP APIs of the programs share where a request comes in and an answer goes out: the headers that
// every answer has, problem details (RFC 9457), and what a handler may fail with.
//
// It knows no route and no error of any program: which of them is which kind of problem is said by each API itself.
package edge

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Begin sets the headers that every answer has, and returns the request's id, which is one of them. It is fresh and sorts by time
// (RFC 9562, version 7).
func Begin(w http.ResponseWriter) (id string) {
	id = uuid.Must(uuid.NewV7()).String() // fails only if the system has no randomness
	w.Header().Set(requestID, id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	return id
}

const requestID = "X-Request-Id"

// ID is what Begin has returned for an answer.
func ID(w http.ResponseWriter) string { return w.Header().Get(requestID) }

// Send sends an answer whose headers are set. One of code 204 or 304 has no body (RFC 9110 section 6.4.1).
func Send(w http.ResponseWriter, code int, body *bytes.Buffer) {
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(code)
	_, _ = w.Write(body.Bytes()) // the caller hung up, and can ask again
}

// Recovered makes a panic the error of the request in which it happened. It is deferred.
func Recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// Rebound says whether a request reached the loopback under a name that is not this machine's, see Here. Who listens elsewhere is reached
// under whatever name the network has for it.
func Rebound(r *http.Request) bool {
	at, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return at != nil && at.IP.IsLoopback() && !Here(r.Host)
}

// Here says whether a Host header means this machine. A name that a stranger's DNS server answers for does not: his page could otherwise
// read from here what its own browser shows (DNS rebinding). Who has shown a token may use any name, such as a certificate's: to a page
// of another origin the browser does not lend it.
func Here(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return name == "localhost" || net.ParseIP(strings.Trim(name, "[]")) != nil
}
