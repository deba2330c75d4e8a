// Package spans tells an OpenTelemetry collector of published events: a span each, in the trace that the event's traceparent
// names, by OTLP over HTTP as JSON (opentelemetry.io/docs/specs/otlp, section OTLP/HTTP).
//
// It promises that publishing never waits for it, and that every span that the collector does not get is counted.
package spans

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	maxQueued = 32 << 10 // spans that wait, more than a Kafka transaction of a backlog has; some 200 bytes each
	maxBatch  = 512      // spans of a request
	every     = time.Second
	within    = 5 * time.Second // for a request
	flushFor  = 2 * time.Second // what is left at a stop
)

// Flags say where to. Their variables are OpenTelemetry's own.
type Flags struct {
	Endpoint string `name:"otlp-endpoint" help:"OpenTelemetry collector to tell of each published event whose traceparent is sampled, by OTLP over HTTP. Default: none." env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"http://HOST:4318"`
	Headers  string `name:"otlp-headers" help:"Headers for it, NAME=VALUE, comma-separated, percent-encoded. Secrets belong into the variable." env:"OTEL_EXPORTER_OTLP_HEADERS" placeholder:"NAME=VALUE,..."`
	Service  string `name:"otlp-service" help:"service.name of the spans (${default})." env:"OTEL_SERVICE_NAME" default:"relay" placeholder:"NAME"`
	Protocol string `hidden:"" env:"OTEL_EXPORTER_OTLP_PROTOCOL"`
	Disabled bool   `hidden:"" env:"OTEL_SDK_DISABLED"`
}

// Span is the publication of an event: from when the relay took it up until it was committed.
type Span struct {
	Parent     Parent
	ID         [8]byte
	Topic      string
	Partition  int32
	Offset     int64
	Event, Key string
	Tombstone  bool
	Start, End time.Time
}

// Exporter sends spans. Add may be called from several goroutines.
type Exporter struct {
	url     string
	headers http.Header
	service string
	client  http.Client
	log     *slog.Logger
	dropped func(n int)
	failing bool // the log was told; owned by Run

	mu      sync.Mutex // guards waiting
	waiting []Span
	full    chan struct{} // holds one token when there is a batch to send
}

// New returns nil if the flags name no endpoint, and an error that quotes none of them if nothing can be sent as they say. dropped
// is told how many spans were lost.
func New(f Flags, log *slog.Logger, dropped func(n int)) (*Exporter, error) {
	if f.Endpoint == "" || f.Disabled {
		return nil, nil //nolint:nilnil // no exporter is no error
	}
	if f.Protocol != "" && !strings.HasPrefix(f.Protocol, "http/") {
		return nil, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL: only OTLP over HTTP is spoken, mostly at port 4318")
	}
	u, err := url.Parse(f.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("--otlp-endpoint: want http://HOST:PORT or https://HOST:PORT, and secrets in OTEL_EXPORTER_OTLP_HEADERS")
	}
	e := &Exporter{
		url: u.JoinPath("v1", "traces").String(), service: cmp.Or(f.Service, "relay"), log: log, dropped: dropped,
		client: http.Client{
			Timeout:       within,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // it would go on without the spans
		},
		full: make(chan struct{}, 1),
	}
	if e.headers, err = parseHeaders(f.Headers); err != nil {
		return nil, err
	}
	return e, nil
}

// As RFC 9110 has them (sections 5.1 and 5.5). What the client refused of others, it would quote.
var (
	fieldName  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	fieldValue = regexp.MustCompile(`^[\t -~]*$`)
)

func parseHeaders(list string) (http.Header, error) {
	headers := http.Header{"Content-Type": {"application/json"}}
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil || !found || !fieldName.MatchString(name) || !fieldValue.MatchString(value) {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS: want NAME=VALUE,..., percent-encoded")
		}
		headers.Set(name, value)
	}
	return headers, nil
}

// Add takes a span over, or drops it: it never waits.
func (e *Exporter) Add(s Span) {
	e.mu.Lock()
	room := len(e.waiting) < maxQueued
	if room {
		e.waiting = append(e.waiting, s)
	}
	batch := len(e.waiting) >= maxBatch
	e.mu.Unlock()
	if !room {
		e.dropped(1)
	}
	if batch {
		select {
		case e.full <- struct{}{}:
		default:
		}
	}
}

// Run sends until ctx ends, and then, for a moment, what is left. A request that is under way then is let finish.
func (e *Exporter) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-e.full:
		case <-tick.C:
		case <-ctx.Done():
		}
		e.drain(context.WithoutCancel(ctx), ctx.Done())
	}
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushFor)
	defer cancel()
	e.drain(flushing, flushing.Done())
	e.mu.Lock()
	defer e.mu.Unlock()
	if left := len(e.waiting); left > 0 {
		e.dropped(left)
	}
}

// drain sends what waits, until stop is closed or the collector refuses it.
func (e *Exporter) drain(ctx context.Context, stop <-chan struct{}) {
	for {
		batch := e.take()
		if len(batch) == 0 {
			return
		}
		rejected, err := e.send(ctx, batch)
		if rejected > 0 {
			e.dropped(rejected)
		}
		switch {
		case err != nil && !e.failing:
			e.log.Warn("spans are dropped", "err", err)
		case err == nil && e.failing:
			e.log.Info("spans are taken again")
		}
		e.failing = err != nil
		select {
		case <-stop:
			return
		default:
		}
		if rejected == len(batch) {
			return
		}
	}
}

// take returns what has waited longest, up to a batch.
func (e *Exporter) take() []Span {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(maxBatch, len(e.waiting))
	batch := e.waiting[:n:n]
	e.waiting = e.waiting[n:]
	return batch
}
