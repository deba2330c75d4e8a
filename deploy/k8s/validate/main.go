// Command validate prepares what the tests beside it hold the manifests of deploy/k8s against:
//
//	go run ./deploy/k8s/validate schemas   fetch the operators' schemas, once; the tests find them in the user's cache
//	go run ./deploy/k8s/validate alerts    make the PrometheusRule of deploy/prometheus/alerts.yml
//
// The tests are the validation: they build each overlay, check it against those schemas and Kubernetes' own, hold it
// against the programs, and run the programs with nothing but the rights that the manifests give.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil { //nolint:forbidigo // main makes the first context
		fmt.Fprintln(os.Stderr, "validate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) != 1:
	case args[0] == "schemas":
		dir, err := fetchSchemas(ctx)
		if err == nil {
			fmt.Fprintln(out, dir)
		}
		return err
	case args[0] == "alerts":
		return writeRule(filepath.Join("deploy", "prometheus", "alerts.yml"), filepath.Join("deploy", "k8s"))
	}
	return errors.New("usage, in the repository: go run ./deploy/k8s/validate schemas | alerts")
}
