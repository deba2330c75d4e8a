package view

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

func TestAReplayEndsWhereTheTablesAre_I10(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(20, 5, 200)
	b.apply(b.claim("one"), events)
	lives := make(map[uuid.UUID][]Event)
	for _, e := range events {
		lives[e.Order] = append(lives[e.Order], e)
	}
	for id, life := range lives {
		if life[0].Type == event.TypeCustomerErased {
			continue
		}
		got, err := Replay(life)
		if err != nil {
			t.Fatal(err)
		}
		want := Order{ID: id}
		err = b.pool.QueryRow(t.Context(), `
SELECT customer_id, service, fulfilment, payment, version, total_minor, captured_minor, refunded_minor, tip_minor, currency, lines::text,
       rating, placed_at, updated_at
FROM order_summary
WHERE order_id = $1`, id).Scan(&want.Customer, &want.Service, &want.Fulfilment, &want.Payment, &want.Version, &want.Total, &want.Captured,
			&want.Refunded, &want.Tip, &want.Currency, &want.Lines, &want.Rating, &want.PlacedAt, &want.UpdatedAt)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("order %s (-got +want):\n%s", id, diff)
		}
	}
}

func TestAReplayRefusesWhatDoesNotFollow_I9(t *testing.T) {
	t.Parallel()
	life := history(21, 1, 3)
	if _, err := Replay(append(life[:1:1], life[2])); !errors.Is(err, errHole) {
		t.Errorf("a hole: %v", err)
	}
	if _, err := Replay(life[1:]); !errors.Is(err, errHole) {
		t.Errorf("without the first event: %v", err)
	}
	if _, err := Replay(nil); err == nil {
		t.Error("an order without events has a state")
	}
	life[1].Data = life[0].Data
	if _, err := Replay(life); !errors.Is(err, errPlacedAgain) {
		t.Errorf("placed again: %v", err)
	}
}
