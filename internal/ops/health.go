package ops

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Health collects whether the parts of a program are ready. It is safe for concurrent use.
type Health struct {
	mu    sync.Mutex       // guards parts
	parts map[string]error // nil = ready
}

var errNotYet = errors.New("has not reported yet")

// NewHealth makes a Health that is not ready until each of the named parts, and at least one, has been set to ready.
func NewHealth(parts ...string) *Health {
	h := &Health{parts: make(map[string]error)}
	for _, name := range parts {
		h.parts[name] = errNotYet
	}
	return h
}

// Set reports a part: nil means ready, anything else says why not and, where it can, what to do. The text is shown to
// whoever may read /readyz, so no secret may be in it.
func (h *Health) Set(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts[name] = err
}

// Ready returns nil if every part is ready, else an error with a line for each part that is not, by name.
func (h *Health) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.parts) == 0 {
		return errNotYet
	}
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(h.parts)) {
		if err := h.parts[name]; err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

// report lists all parts, one per line, with [+] or [-] for ready or not.
func (h *Health) report() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h.parts)) {
		if err := h.parts[name]; err != nil {
			fmt.Fprintf(&b, "[-] %s: %v\n", name, err)
		} else {
			fmt.Fprintf(&b, "[+] %s\n", name)
		}
	}
	return b.String()
}

var readyDesc = prometheus.NewDesc("health_ready",
	"1 for a part of the program that is ready, 0 for one that is not; /readyz?verbose says why.", []string{"part"}, nil)

// Describe implements prometheus.Collector.
func (h *Health) Describe(descs chan<- *prometheus.Desc) { descs <- readyDesc }

// Collect implements prometheus.Collector.
func (h *Health) Collect(metrics chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, err := range h.parts {
		ready := 0.0
		if err == nil {
			ready = 1
		}
		metrics <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready, name)
	}
}
