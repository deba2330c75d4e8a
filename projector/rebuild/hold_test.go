package rebuild

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// other is a side that does what a test says.
type other struct {
	approached int
	near       func(n int) error // the n-th approach, n >= 1
	arrive     func(ctx context.Context, n int) error
}

func (o *other) approach(context.Context) error {
	o.approached++
	if o.near == nil {
		return nil
	}
	return o.near(o.approached)
}

func (o *other) reach(ctx context.Context, _ pgx.Tx) (vector, error) {
	if o.arrive == nil {
		return vector{0: 7}, nil
	}
	return vector{0: 7}, o.arrive(ctx, o.approached)
}

// What takes too long lets the live read model go, and is tried again.
func TestTheLiveReadModelIsHeldForAMomentOnly(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	w.project("public")
	moved := `SET lock_timeout = '100ms'; UPDATE projection_offsets SET next_offset = next_offset`
	s := &other{
		near: func(int) error {
			_, err := w.live.Exec(t.Context(), moved)
			return err
		},
		arrive: func(ctx context.Context, n int) error {
			if n > 1 {
				return nil
			}
			if _, err := w.live.Exec(ctx, moved); err == nil {
				t.Error("the live offsets could be moved")
			}
			<-ctx.Done()
			return errors.New("cut off")
		},
	}
	done := 0
	err := held(t.Context(), w.live, "EXCLUSIVE", s, func(_ pgx.Tx, at vector) error {
		done++
		if at[0] != 7 {
			t.Errorf("at %s", at)
		}
		return nil
	})
	if err != nil || done != 1 || s.approached != 2 {
		t.Errorf("done %d times in %d tries, %v", done, s.approached, err)
	}
}

// A reader in a transaction is waited for.
func TestAReaderIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	reader, err := w.live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback(t.Context()) //nolint:errcheck // it has only read
	if _, err := reader.Exec(t.Context(), `SELECT FROM projection_offsets`); err != nil {
		t.Fatal(err)
	}
	s := &other{near: func(n int) error {
		if n < 3 {
			return nil
		}
		return reader.Rollback(t.Context())
	}}
	if err := held(t.Context(), w.live, "ACCESS EXCLUSIVE", s, func(pgx.Tx, vector) error { return nil }); err != nil || s.approached != 3 {
		t.Errorf("%d tries, %v", s.approached, err)
	}
}

func TestAHoldIsNotTriedForEver(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	s := &other{arrive: func(context.Context, int) error { return errBehind }}
	err := held(t.Context(), w.live, "EXCLUSIVE", s, func(pgx.Tx, vector) error {
		t.Error("done though it was behind")
		return nil
	})
	if !errors.Is(err, errBehind) || !strings.Contains(err.Error(), "tried 60 times") || s.approached != holdTries {
		t.Errorf("after %d tries: %v", s.approached, err)
	}
	broken := errors.New("broken")
	s = &other{near: func(int) error { return broken }}
	if err := held(t.Context(), w.live, "EXCLUSIVE", s, nil); !errors.Is(err, broken) || s.approached != 1 {
		t.Errorf("what does not pass was tried %d times: %v", s.approached, err)
	}
}
