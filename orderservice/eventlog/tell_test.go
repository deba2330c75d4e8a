package eventlog_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

func TestEachEventIsToldOnceWithoutItsContent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var log bytes.Buffer
	told := eventlog.New(f.admin, slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	cmd := eventlog.Command{Order: uuid.New(), Do: place, Key: &eventlog.Key{Value: "told-once"}}
	result, err := told.Execute(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := told.Execute(t.Context(), cmd); err != nil || !again.Replayed {
		t.Fatalf("the second time: %+v, %v; want a replay", again, err)
	}
	if _, err := told.Execute(t.Context(), eventlog.Command{Order: uuid.New(), Do: place, Key: &eventlog.Key{Value: "told-once", RequestHash: [32]byte{1}}}); err == nil {
		t.Fatal("a key was used twice")
	}
	e := result.Events[0]
	var got map[string]any
	if err := json.Unmarshal(log.Bytes(), &got); err != nil {
		t.Fatalf("%v: want one line:\n%s", err, log.String())
	}
	for key, want := range map[string]any{
		"level": "DEBUG", "msg": "event accepted", "order_id": result.ID.String(), "event_id": e.ID.String(), "version": 1.0,
		"event_type": "order.placed.v1",
	} {
		if got[key] != want {
			t.Errorf("%s: got %v, want %v", key, got[key], want)
		}
	}
	if strings.Contains(log.String(), "customer") {
		t.Errorf("the event's content shows: %s", log.String())
	}
}
