package viewtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Model is a read model under test.
type Model struct {
	Name string // in the table read_models

	// Up and Down are its migration, if it is to be tested too. It need not be in package sql.
	Up, Down string

	// Query reads its rows as its readers see them, without what depends on partitions and offsets.
	Query string

	// Rows are what Query must return, each as Line makes it, after a history whose events are all applied. It is the
	// definition of the read model: plain, and from the whole history each time, so that it shares nothing with what it judges.
	Rows func(history []Event) []string

	// Examples are histories with their rows written out, by what they show. Rows has to agree with them too.
	Examples map[string]Example
}

// Example is the history of one order and the rows of the read model after it. Its events are a second apart, from First on.
type Example struct {
	Events []event.Data
	Rows   []string
}

// Models are the read models of the program.
func Models() []Model {
	models := make([]Model, 0, len(queries))
	for name, query := range queries {
		models = append(models, Model{Name: name, Query: query, Rows: func(history []Event) []string { return Folded(history)[name] }})
	}
	return models
}

// Projector is package view, whose own tests use this package so that it cannot be imported here. It makes a view of the
// database, claims the partitions from 0 on for a new owner, and returns for each of them a function that applies batches.
type Projector func(ctx context.Context, pool *pgxpool.Pool, partitions int) ([]Apply, error)

// Apply applies a batch of a partition's events in one transaction. After an error it may be called again with the same
// events, and finds out what became of them.
type Apply func(ctx context.Context, events []Event) error

// Check tests read models: their rows must be what their histories say, whatever happens on the way.
//
//   - examples: the rows of each example.
//   - any way: batches of any size, partitions interleaved in any way, new owners at any time, events delivered again, and at last
//     all of them again (I8, I9, I10).
//   - apart: a batch whose transaction has written everything and is not committed keeps no other partition waiting.
//   - killed: the connection ends behind each message to the server, and before each answer; what is applied counts once (I8).
//   - rebuilt: made anew beside the live tables, in other batches, and moved in their place (I10).
//   - added: where events were applied before the migration, it has no rows until it is made anew with the others.
func Check(t *testing.T, project Projector, models ...Model) {
	t.Helper()
	seed := rand.Uint64()
	for _, m := range models {
		if len(m.Rows(History(seed, 30, 900))) == 0 {
			t.Fatalf("seed %d: %s has no row after 900 events: History must make such that it is about", seed, m.Name)
		}
	}
	for name, try := range map[string]func(*world, context.Context, uint64) error{
		"examples": (*world).examples, "any way": (*world).anyWay, "apart": (*world).apart, "killed": (*world).killed,
		"rebuilt": (*world).rebuilt, "added": (*world).added,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := try(newWorld(t, project, models), t.Context(), seed); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		})
	}
}

func (w *world) examples(ctx context.Context, seed uint64) error {
	if err := w.migrate(ctx); err != nil {
		return err
	}
	for _, m := range w.models {
		for name, example := range m.Examples {
			history := lifeOf(rand.New(rand.NewPCG(seed, 0)), example.Events)
			want := slices.Sorted(slices.Values(example.Rows))
			if diff := cmp.Diff(slices.Sorted(slices.Values(m.Rows(history))), want); diff != "" {
				return fmt.Errorf("example %q, the definition's rows (-got +want):\n%s", name, diff)
			}
			if err := w.empty(ctx); err != nil {
				return err
			}
			parts, err := w.project(ctx, w.writer, 1)
			if err != nil {
				return err
			}
			if err := parts[0](ctx, history); err != nil {
				return fmt.Errorf("example %q: %w", name, err)
			}
			if err := w.holds(ctx, history, 0); err != nil {
				return fmt.Errorf("example %q: %w", name, err)
			}
		}
	}
	return nil
}

// lifeOf is the history of one order to which these events happen, a second apart.
func lifeOf(r *rand.Rand, happened []event.Data) []Event {
	order, at := newID(r), First
	history := make([]Event, len(happened))
	for i, d := range happened {
		e, err := event.New(order, int64(i)+1, at, d)
		if err != nil {
			panic(err) // a bug of the test's
		}
		history[i] = Event{Event: e, Offset: int64(i), LeaderEpoch: -1, Data: d}
		at = at.Add(time.Second)
	}
	return history
}
