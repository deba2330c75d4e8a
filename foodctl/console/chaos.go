package console

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Breaker breaks a running system on purpose. Its methods are safe for concurrent use and name programs as the system does.
type Breaker interface {
	// Kill sends SIGKILL, and returns to which process.
	Kill(name string) (pid int, err error)
	// Pause stops a program, and lets it go on after the time, or when the system stops; then it returns.
	Pause(ctx context.Context, name string, d time.Duration) error
	// Partition cuts a relay off from Kafka, likewise.
	Partition(ctx context.Context, name string, d time.Duration) error
	// SetRate changes how many orders a second are generated.
	SetRate(ordersPerSecond float64) error
}

// fault is the body of a request to break something.
type fault struct {
	Target  string  `json:"target"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"orders_per_second"`
}

// The most that may be asked for.
const (
	longest = 120  // seconds
	fastest = 1000 // orders a second
)

// serveChaos breaks something: with a token, from this machine, and if the console was given what to break things with.
func (c *Console) serveChaos(w http.ResponseWriter, r *http.Request) {
	if why := c.mayBreak(r); why != "" {
		refuse(w, forbidden, "%s", why)
		return
	}
	var f fault
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		refuse(w, malformed, "the body is no JSON of a fault: %v", err)
		return
	}
	verb := r.PathValue("verb")
	do, why := c.faultOf(verb, f)
	if why != "" {
		refuse(w, malformed, "%s", why)
		return
	}
	text, err := do(context.WithoutCancel(r.Context()))
	if err != nil {
		refuse(w, unbroken, "%v", err)
		return
	}
	c.cfg.Log.Warn("broken on purpose", "fault", text)
	c.hub.mark(Mark{At: time.Now(), Kind: MarkChaos, Text: text})
	sendJSON(w, map[string]string{"text": text})
}

// mayBreak says why a request may not break anything, "" if it may.
func (c *Console) mayBreak(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	token, bears := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch ip := net.ParseIP(host); {
	case c.cfg.Breaker == nil:
		return "nothing can be broken from this page: start the system with foodctl up --allow-chaos"
	case err != nil || ip == nil || !ip.IsLoopback():
		return "things are broken only from the machine that the console runs on"
	case !bears || c.cfg.Token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(c.cfg.Token)) != 1:
		return "the token is missing or wrong: open the page by the address that foodctl up printed, token and all"
	}
	return ""
}

// faultOf is what a request asks for, or why it makes no sense.
func (c *Console) faultOf(verb string, f fault) (do func(context.Context) (string, error), why string) {
	d := time.Duration(f.Seconds * float64(time.Second))
	switch {
	case verb == "rate" && (f.Rate <= 0 || f.Rate > fastest):
		return nil, fmt.Sprintf("orders_per_second is a number above 0, %d at most", fastest)
	case verb != "rate" && f.Target == "":
		return nil, "target is missing: the name of a program, such as relay"
	case (verb == "pause" || verb == "partition") && (f.Seconds <= 0 || f.Seconds > longest):
		return nil, fmt.Sprintf("seconds is a number above 0, %d at most", longest)
	}
	switch verb {
	case "kill":
		return func(context.Context) (string, error) {
			pid, err := c.cfg.Breaker.Kill(f.Target)
			return fmt.Sprintf("kill -9 %d (%s)", pid, f.Target), err
		}, ""
	case "pause":
		return func(ctx context.Context) (string, error) {
			return fmt.Sprintf("%s is stopped for %s", f.Target, d), begun(func() error { return c.cfg.Breaker.Pause(ctx, f.Target, d) })
		}, ""
	case "partition":
		return func(ctx context.Context) (string, error) {
			return fmt.Sprintf("%s is cut off from Kafka for %s", f.Target, d), begun(func() error { return c.cfg.Breaker.Partition(ctx, f.Target, d) })
		}, ""
	case "rate":
		return func(context.Context) (string, error) {
			return fmt.Sprintf("%g orders a second", f.Rate), c.cfg.Breaker.SetRate(f.Rate)
		}, ""
	}
	return nil, "what is to be done is kill, pause, partition or rate"
}

// begun does what takes its time beside the request. It returns why it could not be begun: what is refused is refused at once.
func begun(do func() error) error {
	const atOnce = 300 * time.Millisecond
	over := make(chan error, 1)
	go func() { over <- do() }() // a Breaker ends it with its system
	timer := time.NewTimer(atOnce)
	defer timer.Stop()
	select {
	case err := <-over:
		return err
	case <-timer.C:
		return nil
	}
}
