package bench

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/cable"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// strike lets the fault happen to a relay.
func (p *pair) strike(i int) error {
	switch p.fault {
	case Kill:
		return p.relays[i].process.Signal(syscall.SIGKILL)
	case Pause:
		return p.relays[i].process.Signal(syscall.SIGSTOP)
	case Cut:
		p.gates[i].Cut()
		return nil
	}
	return fmt.Errorf("unknown fault %q", p.fault)
}

// mend ends the fault.
func (p *pair) mend(i int) error {
	switch p.fault {
	case Kill:
		<-p.relays[i].process.Done()
		return p.relays[i].start()
	case Pause:
		return p.relays[i].process.Signal(syscall.SIGCONT)
	case Cut:
		p.gates[i].Mend()
		return nil
	}
	return fmt.Errorf("unknown fault %q", p.fault)
}

// wiring is a broker with a listener for each of two relays. A broker tells its clients where to find it, and tells
// those of a listener that listener's address: so a relay stays behind its proxy.
type wiring struct {
	kafka kafkaserver.Config
	ports [2]struct{ listener, proxy int }
}

func newWiring() (*wiring, error) {
	w := &wiring{}
	var controller int
	for _, port := range []*int{
		&w.kafka.Port, &controller, &w.ports[0].listener, &w.ports[0].proxy, &w.ports[1].listener, &w.ports[1].proxy,
	} {
		var err error
		if *port, err = ports.Free(); err != nil {
			return nil, err
		}
	}
	at := func(name string, port int) string { return name + "://" + loopback(port) }
	w.kafka.Properties = map[string]string{
		"listeners": at("PLAINTEXT", w.kafka.Port) + "," + at("CONTROLLER", controller) + "," +
			at("RELAY1", w.ports[0].listener) + "," + at("RELAY2", w.ports[1].listener),
		"advertised.listeners": at("PLAINTEXT", w.kafka.Port) + "," +
			at("RELAY1", w.ports[0].proxy) + "," + at("RELAY2", w.ports[1].proxy),
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,RELAY1:PLAINTEXT,RELAY2:PLAINTEXT",
		"inter.broker.listener.name":     "PLAINTEXT",
		"controller.quorum.voters":       "1@" + loopback(controller),
	}
	return w, nil
}

func loopback(port int) string { return net.JoinHostPort(stack.Host, strconv.Itoa(port)) }

// proxies starts a relay's proxies, to Postgres and to Kafka, on one gate. It returns those that run, also with an error.
func (w *wiring) proxies(ctx context.Context, relay int, postgres string, g *cable.Gate) ([]*cable.Proxy, error) {
	first, err := cable.Start(ctx, 0, postgres, g)
	if err != nil {
		return nil, err
	}
	second, err := cable.Start(ctx, w.ports[relay].proxy, loopback(w.ports[relay].listener), g)
	if err != nil {
		return []*cable.Proxy{first}, err
	}
	return []*cable.Proxy{first, second}, nil
}
