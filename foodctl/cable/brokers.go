package cable

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Brokers are a Kafka cluster behind a gate. A broker tells its clients where it and the others are to be found, so
// proxies that pass on all they get would be left behind with the first answer: these put their own addresses in its
// place. They do not understand connections that are encrypted.
type Brokers struct {
	gate  *Gate
	seeds []string // addresses of proxies
	start func(target string, views func() (sent, answered View)) (*Proxy, error)

	mu      sync.Mutex
	proxies map[string]*Proxy // by the address that they forward to; nil when closed; guarded by mu
}

// errClosed is returned for a broker that is asked for when all is over.
var errClosed = errors.New("the cable is closed")

// StartBrokers starts a proxy for each of the addresses, and later for each broker that these tell of.
func StartBrokers(ctx context.Context, addresses []string, g *Gate) (*Brokers, error) {
	b := &Brokers{gate: g, proxies: make(map[string]*Proxy)}
	b.start = func(target string, views func() (View, View)) (*Proxy, error) {
		return start(context.WithoutCancel(ctx), 0, target, g, views)
	}
	for _, address := range addresses {
		p, err := b.proxy(address)
		if err != nil {
			b.Close()
			return nil, err
		}
		b.seeds = append(b.seeds, p)
	}
	return b, nil
}

// Addresses are where the cluster is to be found, comma-separated.
func (b *Brokers) Addresses() string { return strings.Join(b.seeds, ",") }

// Cut lets nothing through to any broker from now on, and Mend everything again.
func (b *Brokers) Cut() { b.gate.Cut() }

// Mend ends a cut.
func (b *Brokers) Mend() { b.gate.Mend() }

// Close ends all connections and waits until they are gone.
func (b *Brokers) Close() {
	b.mu.Lock()
	proxies := b.proxies
	b.proxies = nil // before the lock is let go of: a connection that ends may still ask for another broker
	b.mu.Unlock()
	for _, p := range proxies {
		p.Close()
	}
}

// proxy returns the address of the proxy for a broker, which it starts if there is none.
func (b *Brokers) proxy(target string) (address string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proxies == nil {
		return "", errClosed
	}
	p := b.proxies[target]
	if p == nil {
		if p, err = b.start(target, b.views); err != nil {
			return "", err
		}
		b.proxies[target] = p
	}
	return p.Address(), nil
}

// replace puts the proxy's address in the place of a broker's. A broker that is not there has no address.
func (b *Brokers) replace(name *string, port *int32) error {
	if *name == "" || *port <= 0 {
		return nil
	}
	address, err := b.proxy(net.JoinHostPort(*name, strconv.Itoa(int(*port))))
	if err != nil {
		return err
	}
	at, number, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(number, 10, 32)
	*name, *port = at, int32(n)
	return err
}
