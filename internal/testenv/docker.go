package testenv

import (
	"context"
	"errors"

	"go.uber.org/goleak"
)

var realBroker = func() (string, error) { return "", errors.New("todo") }

func dockerPostgres(context.Context) (string, error) { return "", errors.New("todo") }
func leaksOfDocker() []goleak.Option                 { return nil }
