package stack

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestATakenPortIsNamedWithItsFlag(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	ports, err := FreePorts(t.Context(), 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	ports.Postgres = taken
	c := Config{Ports: ports, Relays: 1, Projectors: 2}
	err = probe(t.Context(), c.uses())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(taken)) || !strings.Contains(err.Error(), "--postgres-port") {
		t.Errorf("probe: %v: want port %d and --postgres-port named", err, taken)
	}
	c.DatabaseURL = "postgres://elsewhere"
	if err := probe(t.Context(), c.uses()); err != nil {
		t.Errorf("probe with a given server: %v: want its port not to matter", err)
	}
}

func TestAPortMeantForTwoIsRefused(t *testing.T) {
	t.Parallel()
	ports, err := FreePorts(t.Context(), 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	ports.Broker = ports.Projector + 2
	c := Config{Ports: ports, Relays: 1, Projectors: 3}
	if err := probe(t.Context(), c.uses()); err == nil || !strings.Contains(err.Error(), "meant for both") {
		t.Errorf("probe: %v: want both named", err)
	}
}
