package rebuild

import (
	"fmt"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// A letter was given up: so is the same event's in another read model, and none that merely is at its place, in a topic that was made anew.
func TestALetterIsToldByWhatItSays(t *testing.T) {
	t.Parallel()
	const insert = `
INSERT INTO %s.dead_letters (topic, part, record_offset, order_id, version, reason, error, state, key, value, headers, recorded_at, settled_at, note)
SELECT $1, 0, $2, '00000000-0000-0000-0000-000000000001', $3, 'rule', 'e', $4, 'k', $5::bytea, '[]', now(),
       CASE WHEN $4 = 'discarded' THEN now() END, CASE WHEN $4 = 'discarded' THEN 'why' END`
	for name, tt := range map[string]struct {
		offset, version int64
		value, want     string
	}{
		"the same":                                {5, 2, "a", "discarded"},
		"another record at its place":             {5, 2, "b", "waiting"},
		"another place":                           {6, 2, "a", "waiting"},
		"the same, out of the outbox":             {-1, 2, "a", "discarded"},
		"another version, out of the outbox":      {-1, 3, "a", "waiting"},
		"damaged in the topic, not in the outbox": {-1, 2, "b", "waiting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, 1)
			w.exec("SELECT read_model_begin()")
			w.exec("INSERT INTO rebuild.read_models SELECT * FROM public.read_models")
			w.exec("INSERT INTO rebuild.projection_offsets (topic, part, topic_id, claim, owner) VALUES ($1, 0, gen_random_uuid(), gen_random_uuid(), '')", w.config.Topic)
			w.exec(fmt.Sprintf(insert, view.Live), w.config.Topic, 5, 2, "discarded", "a")
			w.exec(fmt.Sprintf(insert, view.Rebuild), w.config.Topic, tt.offset, tt.version, "waiting", tt.value)
			if err := settle(t.Context(), w.live, view.Rebuild, view.New(w.connect(w.url, view.Rebuild), w.config.Topic, 0), w.config.Topic); err != nil {
				t.Fatal(err)
			}
			var got string
			if err := w.live.QueryRow(t.Context(), "SELECT state FROM rebuild.dead_letters").Scan(&got); err != nil || got != tt.want {
				t.Errorf("%s, %v, want %s", got, err, tt.want)
			}
		})
	}
}
