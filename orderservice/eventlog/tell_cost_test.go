package eventlog

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

//nolint:paralleltest // AllocsPerRun counts what the whole process allocates
func TestTellingCostsNothingAboveDebug(t *testing.T) {
	l := New(nil, slog.New(slog.NewJSONHandler(new(bytes.Buffer), nil)))
	result := Result{Events: make([]event.Event, 1000)}
	if got := testing.AllocsPerRun(10, func() { l.tell(t.Context(), result) }); got != 0 {
		t.Errorf("a thousand events: %v allocations, want none", got)
	}
}
