package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// TestCollectorIsToldOfPublishedEvents runs the program as an operator would.
func TestCollectorIsToldOfPublishedEvents(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- string(body)
	}))
	t.Cleanup(collector.Close)
	s := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{
			"run", "--listen=127.0.0.1:0", "--database-url=" + s.config.DatabaseURL, "--brokers=" + strings.Join(s.config.Brokers, ","),
			"--topic=" + s.config.Topic, "--slot=" + s.config.Slot, "--otlp-endpoint=" + collector.URL,
		}, io.Discard, t.Output())
	}()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	events := s.events(uuid.New(), 1, 2)
	events[1].Headers[event.HeaderTraceparent] = "00-" + trace + "-00f067aa0ba902b7-01"
	s.tx(s.db, events)
	s.published()
	select {
	case body := <-bodies:
		if strings.Count(body, `"traceId":"`+trace) != 2 || !strings.Contains(body, events[1].ID.String()) || strings.Contains(body, events[0].ID.String()) {
			t.Errorf("the collector was told %s, want a span and its link, of event %s", body, events[1].ID)
		}
	case err := <-done:
		t.Fatalf("the relay ended: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
