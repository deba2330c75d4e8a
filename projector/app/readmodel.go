package app

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// readModelFlags are the flags of a command that looks at the read model itself.
type readModelFlags struct {
	ops.DatabaseFlags `embed:""`

	DatabaseURL string `help:"The readmodel database." env:"READMODEL_DATABASE_URL" required:"" placeholder:"URL"`
	Topic       string `help:"Topic of the events (${default})." env:"TOPIC" default:"food-orders"`
}

// pool calls do with a pool that sees the live tables, and with the URL to reach others.
func (f *readModelFlags) pool(ctx context.Context, do func(live *pgxpool.Pool, database string) error) error {
	database, err := f.Login(f.DatabaseURL)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	live, err := view.Connect(ctx, database, 8, f.BeforeConnect)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	defer live.Close()
	if err := check(ctx, live); err != nil {
		return err
	}
	return do(live, database)
}

// with calls do with the view.
func (f *readModelFlags) with(ctx context.Context, do func(*view.View) error) error {
	return f.pool(ctx, func(live *pgxpool.Pool, _ string) error {
		return do(view.New(live, f.Topic, 0)) // it claims nothing, so it needs no limit
	})
}
