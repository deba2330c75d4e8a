package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/console"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type consoleCmd struct {
	systemFlags      `embed:""`
	auth.Flags       `embed:""`
	auth.ClientFlags `embed:""`

	Listen     string   `help:"Address of the page (${default})." env:"CONSOLE_LISTEN" default:"127.0.0.1:7480" placeholder:"HOST:PORT"`
	Slot       string   `help:"The relay's replication slot (${default})." env:"RELAY_SLOT" default:"food_orders" placeholder:"NAME"`
	API        string   `name:"orderservice" help:"Where orderservice listens (${default}); empty: it is not asked." env:"FOODCTL_ORDERSERVICE_AT" default:"127.0.0.1:7481" placeholder:"HOST:PORT"`
	Relays     []string `help:"Where the relays listen (${default})." env:"FOODCTL_RELAYS_AT" default:"127.0.0.1:7482" placeholder:"[NAME=]HOST:PORT,..."`
	Projectors []string `help:"Where the projectors listen (${default})." env:"FOODCTL_PROJECTORS_AT" default:"127.0.0.1:7484,127.0.0.1:7485" placeholder:"HOST:PORT,..."`
}

// Help is what `foodctl console --help` says beside the flags.
func (consoleCmd) Help() string {
	return `Serves one page that shows the outbox drain: where the events are, what is on its way, who publishes, and a continuous audit of
the topic. It asks the databases and the brokers itself, so that it goes on whatever is killed, and only reads.

"foodctl up" serves it too, at 127.0.0.1:7480, and with --allow-chaos lets things be broken from it. Beside it this needs another address:

  foodctl console --listen 127.0.0.1:7479`
}

// Run serves the page until ctx ends.
func (c *consoleCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	orders, readModel, err := c.databases(ctx)
	if err != nil {
		return err
	}
	guard, err := c.Guard(log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	client, err := c.Client(log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	defer client.CloseIdleConnections()
	cfg := console.Config{
		OrdersURL: orders, ReadModelURL: readModel, Brokers: broker.Seeds(c.Brokers), Security: c.Security, Topic: c.Topic, Slot: c.Slot,
		Relays: named(c.ClientFlags, c.Relays), Projectors: named(c.ClientFlags, c.Projectors), Asker: status.Asker{HTTP: client}, Log: log,
	}
	if c.API != "" {
		cfg.API = c.URL(c.API)
	}
	listener, err := ops.Listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	page, err := openPage(ctx, cfg, listener, guard)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "the page is at %s\n", page.URL); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-page.done:
	}
	return page.close()
}

// named are programs by their addresses, or by the names that stand before those.
func named(asking auth.ClientFlags, addresses []string) []console.Program {
	programs := make([]console.Program, len(addresses))
	for i, a := range addresses {
		name, address := nameOf(a)
		programs[i] = console.Program{Name: name, URL: asking.URL(address)}
	}
	return programs
}

// nameOf splits NAME=HOST:PORT; an address without a name is its own.
func nameOf(s string) (name, address string) {
	if name, address, has := strings.Cut(s, "="); has {
		return name, address
	}
	return s, s
}

// page is a console that is served.
type page struct {
	URL string

	stop    context.CancelFunc
	running sync.WaitGroup
	done    chan struct{} // closed when it is served no more, be it that it cannot be
	err     error         // of serving; to be read when done is closed
}

// openPage serves a console on the listener, which it closes. The caller must close it.
func openPage(ctx context.Context, cfg console.Config, listener net.Listener, guard *auth.Guard) (*page, error) {
	c, err := console.Open(ctx, cfg)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	registry := ops.Registry()
	registry.MustRegister(guard)
	p := &page{URL: guard.URL(listener.Addr()), done: make(chan struct{})}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx)) // it shows what is on its way until it is closed
	p.running.Go(func() {
		defer c.Close()
		c.Run(ctx)
	})
	p.running.Go(func() {
		defer close(p.done)
		p.err = ops.ServeOn(ctx, listener, guard, c.Handler(registry))
	})
	return p, nil
}

// errUnserved is why what was done while a page was served has ended. The page's own error says more.
var errUnserved = errors.New("the page is served no more")

// served is a context that ends with ctx, or when the page is served no more, or with stop, which must be called.
func (p *page) served(ctx context.Context) (while context.Context, stop func()) {
	while, cancel := context.WithCancelCause(ctx)
	var following sync.WaitGroup
	following.Go(func() {
		select {
		case <-p.done:
			cancel(errUnserved)
		case <-while.Done():
		}
	})
	return while, func() {
		cancel(nil)
		following.Wait()
	}
}

// address is where a browser finds it. The token, if any, is in the fragment, which is sent to nobody.
func (p *page) address(token string) string {
	if token == "" {
		return p.URL
	}
	return p.URL + "/#token=" + token
}

// close ends the page's streams and stops serving.
func (p *page) close() error {
	p.stop()
	p.running.Wait()
	return p.err
}
