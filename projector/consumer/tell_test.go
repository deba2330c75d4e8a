package consumer

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

//nolint:paralleltest // AllocsPerRun counts what the whole process allocates
func TestTellingCostsNothingAboveDebug(t *testing.T) {
	w := &worker{session: &session{log: slog.New(slog.NewJSONHandler(new(bytes.Buffer), nil))}, ctx: t.Context()}
	events := make([]view.Event, 1000)
	if got := testing.AllocsPerRun(10, func() { w.tell(events) }); got != 0 {
		t.Errorf("a thousand events: %v allocations, want none", got)
	}
}
