package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Host is where everything that foodctl starts listens: this machine alone.
const Host = "127.0.0.1"

// Ports of what foodctl starts, its own page among them. Relays and projectors take as many in a row as there are of them.
type Ports struct {
	OrderService int
	Relay        int
	Projector    int
	Query        int
	Postgres     int
	Broker       int
	Console      int // 0: none is served
}

// use is a port that is about to be taken.
type use struct {
	port int
	what string
	flag string
}

// uses lists the ports that the configuration will take.
func (c *Config) uses() []use {
	u := []use{{c.Ports.OrderService, "orderservice", "--orderservice-port"}}
	for i := range c.Relays {
		u = append(u, use{c.Ports.Relay + i, relayName(i), "--relay-port"})
	}
	for i := range c.Projectors {
		u = append(u, use{c.Ports.Projector + i, projectorName(i), "--projector-port"})
	}
	u = append(u, use{c.Ports.Query, "query", "--query-port"})
	if c.DatabaseURL == "" {
		u = append(u, use{c.Ports.Postgres, "Postgres", "--postgres-port"})
	}
	if c.Brokers == "" {
		u = append(u, use{c.Ports.Broker, "the dev broker", "--broker-port"})
	}
	if c.Ports.Console != 0 {
		u = append(u, use{c.Ports.Console, "the live page", "--console-port"})
	}
	return u
}

// probe finds out whether all ports are free, and names each that is not and the flag that moves it.
func probe(ctx context.Context, uses []use) error {
	var errs []error
	taken := make(map[int]use)
	for _, u := range uses {
		if other, twice := taken[u.port]; twice {
			errs = append(errs, fmt.Errorf("port %d is meant for both %s and %s: change %s or %s", u.port, other.what, u.what, other.flag, u.flag))
			continue
		}
		taken[u.port] = u
		if err := free(ctx, u.port); err != nil {
			errs = append(errs, fmt.Errorf("port %d for %s is taken: stop what listens there, or give %s another port", u.port, u.what, u.flag))
		}
	}
	return errors.Join(errs...)
}

func free(ctx context.Context, port int) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address(port))
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
		return err
	}
	return nil // not a matter of this port; whoever listens on it will say what it is
}

// FreePorts finds ports that nobody listens on at the moment.
func FreePorts(ctx context.Context, relays, projectors int) (Ports, error) {
	relay, err := freeRun(ctx, relays+projectors+5)
	if err != nil {
		return Ports{}, err
	}
	next := relay + relays + projectors
	return Ports{Relay: relay, Projector: relay + relays, OrderService: next, Postgres: next + 1, Broker: next + 2, Query: next + 3, Console: next + 4}, nil
}

// Where freeRun looks: below the ports that systems give to outgoing connections, which come and go at any moment.
const (
	lowest  = 10_000
	highest = 30_000
)

// freeRun finds n free ports in a row. It begins at random, so that two that look at once rarely find the same.
func freeRun(ctx context.Context, n int) (first int, err error) {
	for range 100 {
		first = lowest + rand.IntN(highest-lowest) // not a secret
		if allFree(ctx, first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("found no %d free ports in a row between %d and %d", n, lowest, highest)
}

func allFree(ctx context.Context, first, n int) bool {
	for port := first; port < first+n; port++ {
		if free(ctx, port) != nil {
			return false
		}
	}
	return true
}

func address(port int) string { return net.JoinHostPort(Host, strconv.Itoa(port)) }

func relayName(i int) string {
	if i == 0 {
		return "relay"
	}
	return fmt.Sprintf("relay-%d", i+1)
}

func projectorName(i int) string { return fmt.Sprintf("projector-%d", i+1) }
