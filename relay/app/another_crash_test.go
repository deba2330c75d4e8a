package app

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
)

// TestAnothersLoadIsKilledTwice_I3_I7: a load of an outbox whose rows may be deleted is killed in a window, and so is the relay that
// goes on with it. From when the slot is made, rows that are gone from the table are in its log alone.
func TestAnothersLoadIsKilledTwice_I3_I7(t *testing.T) {
	t.Parallel()
	binary := crashing(t)
	for _, tt := range []struct {
		first, second crash.Point
		slot          bool // is made when the first one dies
	}{
		{crash.Announced, crash.SlotMade, false},
		{crash.SlotMade, crash.Fenced, true},
		{crash.SlotMade, crash.Announced, true},
		{crash.SlotMade, crash.Loaded, true},
		{crash.Loaded, crash.Flushed, true},
		{crash.LoadEnded, crash.Committed, true},
	} {
		t.Run(fmt.Sprintf("%s, %s", tt.first, tt.second), func(t *testing.T) {
			t.Parallel()
			f := setupAnother(t, map[string]string{"=relay.order.by": "seq"}, debeziumTable, "ALTER TABLE outbox ADD COLUMN seq bigserial")
			f.topics("order")
			n := 0
			kept := func() { f.add("order", "o1", n); n++ }
			deleted := func() { f.gone(n); n++ }
			for range 5 {
				kept()
			}
			log := filepath.Join(t.TempDir(), "hits")
			f.diesBeside(binary, string(tt.first), log, func() {})
			kept()
			if tt.slot {
				deleted()
			}
			kept()
			f.diesBeside(binary, string(tt.second), log, func() {})
			deleted()
			kept()
			f.run(int64(n+1), deleted)
			f.orders(n)
		})
	}
}
