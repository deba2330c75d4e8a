// Command kafka fetches Apache Kafka's jars with Maven, and runs a broker from them in the foreground on request:
//
//	go run ./internal/testenv/kafka              fetch, once; the tests find the jars in the user's cache
//	go run ./internal/testenv/kafka run [DIR]    a broker on 127.0.0.1:9092 until Ctrl-C; its data in DIR
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
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 0:
		return fetch(ctx, out)
	case args[0] == "run" && len(args) <= 2:
		if err := fetch(ctx, out); err != nil {
			return err
		}
		return broker(ctx, append(args, filepath.Join(os.TempDir(), "kafka-"+kafkaserver.Version))[1], out)
	}
	return errors.New("usage: kafka [run [DIR]]")
}

func fetch(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "Apache Kafka %s: fetching its jars with Maven unless they are there\n", kafkaserver.Version)
	dir, err := kafkaserver.Fetch(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, dir)
	return nil
}

func broker(ctx context.Context, dir string, out io.Writer) error {
	s, err := kafkaserver.Start(ctx, kafkaserver.Config{Dir: dir, Port: 9092})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "KAFKA_BROKERS=%s (data in %s; Ctrl-C stops it)\n", s.Address(), dir)
	select {
	case <-s.Done():
		return errors.New("the broker ended by itself: see kafka.log in " + dir)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return s.Stop(stopping)
}
