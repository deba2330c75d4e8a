package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/load"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// Orders says how to measure how fast orders are placed: through HTTP and straight through the event log, beside pgbench,
// which runs the log's own statements on the same server.
type Orders struct {
	Config

	Writers []int         // at once, one after the other
	For     time.Duration // each of the three, in each round; whole seconds
	Rounds  int           // the three take turns
}

// Targets of the ratios, and of the p99 at half of the load reached.
const (
	LogTarget  = 0.8
	HTTPTarget = 0.5
	P99Target  = 20 * time.Millisecond
)

// OrdersReport is what it came to.
type OrdersReport struct {
	Machine      Machine     `json:"machine"`
	Pgbench      string      `json:"pgbench_version"`
	PayloadBytes int         `json:"payload_bytes"` // of pgbench's event; that of the others has as much in the middle
	Levels       []Level     `json:"writers"`
	Half         HalfLoad    `json:"half_load"`
	Check        OrdersCheck `json:"check"`
	Void         bool        `json:"void"`
}

// Level is what so many writers come to.
type Level struct {
	Writers   int     `json:"writers"`
	Pgbench   Placed  `json:"pgbench"`
	Log       Placed  `json:"eventlog"`
	HTTP      Placed  `json:"http"`
	LogRatio  float64 `json:"eventlog_by_pgbench"`
	HTTPRatio float64 `json:"http_by_pgbench"`
	LogMet    bool    `json:"eventlog_target_met"` // LogTarget or more
	HTTPMet   bool    `json:"http_target_met"`     // HTTPTarget or more
}

// Placed is how fast orders were placed, all rounds together.
type Placed struct {
	Orders    int64     `json:"orders"`
	PerSecond float64   `json:"orders_per_second"`
	Seconds   Quantiles `json:"seconds"` // an order
	CPU       OrderCost `json:"cpu_seconds_per_million_orders"`
}

// HalfLoad is how the API is at half of the most that it has reached.
type HalfLoad struct {
	Rate   float64     `json:"orders_per_second"`
	Load   load.Report `json:"load"`
	P99    float64     `json:"p99"` // latency in seconds, from when an order was due
	Target float64     `json:"p99_target"`
	Met    bool        `json:"p99_target_met"`
}

func (c Orders) check() error {
	switch {
	case len(c.Writers) == 0 || slices.Min(c.Writers) < 1 || slices.Max(c.Writers) > 500:
		return errors.New("--writers: give numbers from 1 to 500")
	case c.For < time.Second || c.For%time.Second != 0:
		return errors.New("--for: give whole seconds, one or more: pgbench takes no others")
	case c.Rounds < 1:
		return errors.New("--rounds: give at least one round")
	}
	return nil
}

// Run measures and checks.
func (c Orders) Run(ctx context.Context) (report OrdersReport, err error) {
	if err := c.check(); err != nil {
		return report, err
	}
	p, err := findPgbench(ctx, packaged)
	if err != nil {
		return report, err
	}
	s, err := c.open(ctx)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	report.Machine, report.Pgbench = s.machine, p.version
	t := &ordersTrial{servers: s, pgbench: p, cfg: c, answered: newAnswers()}
	defer func() { err = errors.Join(err, t.close(context.WithoutCancel(ctx))) }()
	if err := t.prepare(ctx); err != nil {
		return report, err
	}
	report.PayloadBytes = t.script.payload
	for _, writers := range c.Writers {
		l, err := t.level(ctx, writers)
		if err != nil {
			return report, fmt.Errorf("%d writers: %w", writers, err)
		}
		report.Levels = append(report.Levels, l)
	}
	if report.Half, err = t.half(ctx, report.Levels); err != nil {
		return report, fmt.Errorf("half load: %w", err)
	}
	report.Check, err = t.check(ctx)
	report.Void = !report.Check.Clean() || report.Half.Load.Violated()
	return report, err
}

// open starts a Postgres unless one was given, with an orders database and a login that may write to it.
func (c Orders) open(ctx context.Context) (*servers, error) {
	own := maps.Clone(settings)
	own["max_connections"] = strconv.Itoa(3*slices.Max(c.Writers) + 50)
	return opened(ctx, c.Config, func(s *servers) error {
		if err := s.findPrograms(ctx); err != nil {
			return err
		}
		if err := s.openPostgres(ctx, own); err != nil {
			return err
		}
		s.names = stack.ScratchNames(s.id)
		s.login = access.Login{Name: s.id + "_orderservice", Password: rand.Text(), Group: "orders_writer"}
		if err := s.createDatabase(ctx, s.names.OrdersDB, sql.Orders); err != nil {
			return err
		}
		return s.ensureLogin(ctx, s.login)
	})
}

// ordersTrial is a measurement that is under way.
type ordersTrial struct {
	*servers

	pgbench  pgbench
	cfg      Orders
	script   script
	requests []load.Request // that all but pgbench make, over and over
	service  *program
	api      load.Target
	answered *answers
	runs     int   // of pgbench
	foreign  int64 // orders that pgbench has placed
}

// mix is what the orders are about: as the generator's, with some hot customers and items.
var mix = load.Mix{Customers: 100, Zipf: 1.1, Seed: 1}

// drawn is how many different orders there are.
const drawn = 4096

// prepare draws the orders, makes pgbench's script, and starts orderservice.
func (t *ordersTrial) prepare(ctx context.Context) (err error) {
	if t.db, err = pgx.Connect(ctx, t.url()); err != nil {
		return err
	}
	log, err := load.Log(ctx, t.writerURL(), 1)
	if err != nil {
		return err
	}
	defer log.Close()
	menu, err := log.Menu(ctx)
	if err != nil {
		return err
	}
	if t.requests, err = load.Placements(mix, menu, drawn); err != nil {
		return err
	}
	if t.script, err = t.newScript(ctx, t.requests); err != nil {
		return err
	}
	most := slices.Max(t.cfg.Writers)
	p, err := t.program("orderservice", t.Service, "ORDERSERVICE_LISTEN", "ORDERS_DATABASE_URL="+t.writerURL(),
		"ORDERSERVICE_CONNECTIONS="+strconv.Itoa(most), "ORDERSERVICE_MAX_IN_FLIGHT="+strconv.Itoa(max(256, 2*most)))
	if err != nil {
		return err
	}
	t.service = &p
	if err := p.start(); err != nil {
		return err
	}
	client, err := auth.ClientFlags{}.Client(nil) // no token is asked for, and none is read
	if err != nil {
		return err
	}
	if t.api, err = load.API(p.url, client); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("orderservice does not answer within %s", patience))
	defer cancel()
	return p.until(ctx, 10*time.Millisecond, func(ctx context.Context) (bool, error) {
		_, err := t.api.Menu(ctx)
		return err == nil, nil // it does not answer before it has begun
	})
}

func (t *ordersTrial) close(ctx context.Context) error {
	if t.api != nil {
		t.api.Close()
	}
	if t.service == nil {
		return nil
	}
	return t.service.stop(ctx)
}

// writerURL is the orders database for who writes orders. It holds a password.
func (t *ordersTrial) writerURL() string { return t.urlAs(t.login, t.names.OrdersDB, "") }

// level measures the three in turns.
func (t *ordersTrial) level(ctx context.Context, writers int) (l Level, err error) {
	l.Writers = writers
	log, err := load.Log(ctx, t.writerURL(), writers)
	if err != nil {
		return l, err
	}
	defer log.Close()
	arms := []struct {
		name string
		to   *Placed
		run  func() (sample, error)
	}{
		{"pgbench", &l.Pgbench, func() (sample, error) { return t.runPgbench(ctx, writers) }},
		{"event log", &l.Log, func() (sample, error) { return t.place(ctx, log, writers) }},
		{"HTTP", &l.HTTP, func() (sample, error) { return t.place(ctx, t.api, writers) }},
	}
	samples := make([]sample, len(arms))
	for round := range t.cfg.Rounds {
		for i, arm := range arms {
			t.Progress(fmt.Sprintf("%d writers, round %d of %d: %s", writers, round+1, t.cfg.Rounds, arm.name))
			one, err := arm.run()
			if err != nil {
				return l, fmt.Errorf("%s: %w", arm.name, err)
			}
			samples[i].add(one)
		}
	}
	for i, arm := range arms {
		*arm.to = samples[i].placed()
	}
	if l.Pgbench.PerSecond > 0 {
		l.LogRatio, l.HTTPRatio = l.Log.PerSecond/l.Pgbench.PerSecond, l.HTTP.PerSecond/l.Pgbench.PerSecond
	}
	l.LogMet, l.HTTPMet = l.LogRatio >= LogTarget, l.HTTPRatio >= HTTPTarget
	return l, nil
}

// inFlight bounds the orders of the half load that are under way.
const inFlight = 256

// half puts half of the most that the API has reached on it, in an open loop.
func (t *ordersTrial) half(ctx context.Context, levels []Level) (h HalfLoad, err error) {
	for _, l := range levels {
		h.Rate = max(h.Rate, l.HTTP.PerSecond/2)
	}
	t.Progress(fmt.Sprintf("%.0f orders/s through HTTP, half of what was reached", h.Rate))
	last := time.Duration(max(2, t.cfg.Rounds)) * t.cfg.For
	h.Load, err = load.Run(ctx, load.Config{
		Profile: load.Profile{Shape: load.Constant, Rate: h.Rate, Duration: last}, Mix: mix, MaxInFlight: inFlight, Progress: t.Progress,
	}, t.answered.of(t.api))
	if err != nil || ctx.Err() != nil {
		return h, errors.Join(err, ctx.Err())
	}
	if len(h.Load.Kinds) > 0 {
		h.P99 = h.Load.Kinds[0].Latency.P99
	}
	h.Target = P99Target.Seconds()
	h.Met = h.P99 > 0 && h.P99 <= h.Target && h.Load.Unserved() == 0
	return h, nil
}
