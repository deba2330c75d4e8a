package rebuild

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// formerPatience is for how long the former read model may stand still behind the live one.
const formerPatience = 10 * time.Second

// former is the read model that was live before the last cut-over. The projectors keep it.
type former struct {
	live  *pgxpool.Pool
	view  *view.View
	topic string
}

// RollBack makes the tables live that were so before the last cut-over, and says at which offsets. It waits until the projectors have
// brought them to where the live ones are, which stand still for a moment. The pools are of view.Connect and of view.ConnectTo the
// schema view.Former.
func RollBack(ctx context.Context, live, pool *pgxpool.Pool, topic string) (at string, err error) {
	if err := there(ctx, live, view.Former); err != nil {
		return "", err
	}
	now, err := swap(ctx, live, view.Former, topic, &former{live, view.New(pool, topic, 0), topic})
	if err != nil {
		return "", fmt.Errorf("roll back: %w", err)
	}
	return now.String(), nil
}

// approach waits until the tables are where the live ones were when it began: a projector that has only just begun with them takes a
// moment to join its group, in which nobody else is to be held up.
func (f *former) approach(ctx context.Context) error {
	target, err := offsets(ctx, f.live, view.Live, f.topic)
	if err != nil {
		return err
	}
	var last int64
	for moved := time.Now(); ; {
		now, err := offsets(ctx, f.live, view.Former, f.topic)
		if err != nil {
			return err
		}
		left := now.behind(target)
		if left == 0 {
			return settle(ctx, f.live, view.Former, f.view, f.topic)
		}
		if left != last {
			moved, last = time.Now(), left
		}
		if time.Since(moved) > formerPatience {
			return fmt.Errorf("the former read model stands still at %s, the live one is at %s; does a projector run?", now, target)
		}
		if err := ops.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// reach waits until the tables are where the live ones are.
func (f *former) reach(ctx context.Context, live pgx.Tx) (vector, error) {
	target, err := offsets(ctx, live, view.Live, f.topic)
	if err != nil {
		return nil, err
	}
	for {
		now, err := offsets(ctx, f.live, view.Former, f.topic)
		if err != nil {
			return nil, err
		}
		if now.behind(target) == 0 {
			return target, settle(ctx, f.live, view.Former, f.view, f.topic)
		}
		if err := ops.Sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}
