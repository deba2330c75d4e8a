// Package spans tells an OpenTelemetry collector of published events: a span each, in the trace that the event's traceparent
// names, by OTLP over HTTP as JSON (opentelemetry.io/docs/specs/otlp, section OTLP/HTTP).
//
// It promises that publishing never waits for it. What the collector does not take in time is dropped and counted.
package spans

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

const (
	maxQueued = 4096 // spans that wait; some 200 bytes each
	maxBatch  = 512  // spans of a request
	every     = time.Second
	within    = 5 * time.Second // for a request
	flushFor  = 2 * time.Second // what is left at a stop
)

// Flags say where to. Their variables are OpenTelemetry's own.
type Flags struct {
	Endpoint string `name:"otlp-endpoint" help:"OpenTelemetry collector to tell of each published event whose traceparent is sampled, by OTLP over HTTP. Default: none." env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"http://HOST:4318"`
	Headers  string `name:"otlp-headers" help:"Headers for it, NAME=VALUE, comma-separated, percent-encoded. Secrets belong into the variable." env:"OTEL_EXPORTER_OTLP_HEADERS" placeholder:"NAME=VALUE,..."`
	Service  string `name:"otlp-service" help:"service.name of the spans (${default})." env:"OTEL_SERVICE_NAME" default:"relay" placeholder:"NAME"`
}

// Span is the publication of an event: from when the relay took it up until it was committed.
type Span struct {
	Parent     Parent
	ID         [8]byte
	Topic      string
	Partition  int32
	Offset     int64
	Event, Key string
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
	queue   chan Span
	failing bool // the log was told; owned by Run
}

// New returns nil if the flags name no endpoint, and an error for one that is none. dropped is told how many spans were lost.
func New(f Flags, log *slog.Logger, dropped func(n int)) (*Exporter, error) {
	if f.Endpoint == "" {
		return nil, nil //nolint:nilnil // no exporter is no error
	}
	u, err := url.Parse(f.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("--otlp-endpoint: want http://HOST:PORT or https://HOST:PORT, and secrets in OTEL_EXPORTER_OTLP_HEADERS")
	}
	e := &Exporter{
		url: u.JoinPath("v1", "traces").String(), service: cmp.Or(f.Service, "relay"), log: log, dropped: dropped,
		client: http.Client{Timeout: within}, headers: http.Header{"Content-Type": {"application/json"}}, queue: make(chan Span, maxQueued),
	}
	for _, pair := range strings.Split(f.Headers, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !found || name == "" || err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS: want NAME=VALUE,..., percent-encoded")
		}
		e.headers.Set(name, value)
	}
	return e, nil
}

// Add takes a span over, or drops it: it never waits.
func (e *Exporter) Add(s Span) {
	select {
	case e.queue <- s:
	default:
		e.dropped(1)
	}
}

// Run sends until ctx ends, and then, for a moment, what is left.
func (e *Exporter) Run(ctx context.Context) {
	for ops.Sleep(ctx, every) == nil {
		e.drain(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushFor)
	defer cancel()
	e.drain(ctx)
}

// drain sends all that waits.
func (e *Exporter) drain(ctx context.Context) {
	for {
		batch := e.take()
		if len(batch) == 0 {
			return
		}
		switch err := e.send(ctx, batch); {
		case err != nil:
			e.dropped(len(batch))
			if !e.failing {
				e.log.Warn("spans are dropped", "err", err)
			}
			e.failing = true
			return
		case e.failing:
			e.log.Info("spans are taken again")
			e.failing = false
		}
	}
}

// take returns what waits, up to a batch.
func (e *Exporter) take() (batch []Span) {
	for len(batch) < maxBatch {
		select {
		case s := <-e.queue:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

func (e *Exporter) send(ctx context.Context, batch []Span) error {
	body, err := json.Marshal(e.encode(batch))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = e.headers.Clone()
	answer, err := e.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", e.url, answer.Status)
	}
	return nil
}
