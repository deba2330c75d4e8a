// Command registry fetches the schema registry that tests start, with Maven, so that no test has to:
//
//	go run ./internal/testenv/registry
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/apicurio"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	dir, err := apicurio.Fetch(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, dir)
}
