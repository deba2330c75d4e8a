package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
)

// Change is a program's start or end.
type Change = supervise.Event

// Program is one of the system's programs.
type Program struct {
	*supervise.Program

	URL string // of its health, metrics, and the API if it has one
	Log string // path of its log

	cancel context.CancelFunc
	done   chan struct{} // closed when it is stopped for good
}

// Stop stops the program and waits until it is gone.
func (p *Program) Stop() {
	p.cancel()
	<-p.done
}

func stopAll(ps []*Program) {
	for _, p := range ps {
		p.cancel()
	}
	for _, p := range ps {
		<-p.done
	}
}

// refusals are the relay's exit codes for what an operator has to look at: a closed gate, an unusable topic or right. The
// other programs do not use them.
var refusals = []int{3, 4}

// grace is how long a program may take to drain.
const grace = 15 * time.Second

// spec is what the programs have in common. A program is one of ours by its name, or another by its path.
func (s *Stack) spec(name, program string, env func() []string, args ...string) (supervise.Spec, error) {
	dir, err := s.config.Directory.Sub("log")
	if err != nil {
		return supervise.Spec{}, err
	}
	if !filepath.IsAbs(program) {
		program = filepath.Join(s.binaries, program)
	}
	return supervise.Spec{
		Name:  name,
		Path:  program,
		Args:  args,
		Env:   func() []string { return append(append(Inherited(os.Environ()), "LOG_FORMAT=text"), env()...) },
		Log:   filepath.Join(dir, name+".log"),
		Grace: grace,
		Final: refusals,
	}, nil
}

// run starts a program and keeps it running until it is stopped. It does not end with ctx: Stop ends the programs, in
// order.
func (s *Stack) run(ctx context.Context, name, program string, port int, env func() []string, args ...string) (*Program, error) {
	spec, err := s.spec(name, program, env, args...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &Program{
		Program: supervise.New(spec, s.config.Notify), URL: "http://" + address(port), Log: spec.Log,
		cancel: cancel, done: make(chan struct{}),
	}
	go func() {
		defer close(p.done)
		if err := p.Run(ctx); err != nil {
			s.failed <- err
		}
	}()
	select {
	case <-p.Started():
		return p, nil
	case <-p.done:
		return nil, <-s.failed
	}
}

func (s *Stack) startPrograms(ctx context.Context) error {
	for i := range s.config.Relays {
		port := s.config.Ports.Relay + i
		brokers, err := s.wire(ctx, relayName(i))
		if err != nil {
			return err
		}
		p, err := s.run(ctx, relayName(i), "relay", port, always(s.relayEnv(port, brokers)), "run")
		if err != nil {
			return err
		}
		s.Relays = append(s.Relays, p)
	}
	if s.config.Naive {
		if err := s.startNaive(ctx); err != nil {
			return err
		}
	}
	for i := range s.config.Projectors {
		port := s.config.Ports.Projector + i
		p, err := s.run(ctx, projectorName(i), "projector", port, always(s.projectorEnv(projectorName(i), port)))
		if err != nil {
			return err
		}
		s.Projectors = append(s.Projectors, p)
	}
	var err error
	if s.Query, err = s.run(ctx, "query", "projector", s.config.Ports.Query, always(s.queryEnv()), "serve"); err != nil {
		return err
	}
	s.OrderService, err = s.run(ctx, "orderservice", "orderservice", s.config.Ports.OrderService, s.orderserviceEnv)
	return err
}

func always(env []string) func() []string { return func() []string { return env } }

func (s *Stack) relayEnv(port int, brokers string) []string {
	return []string{
		"ORDERS_DATABASE_URL=" + s.server.urlAs(s.logins.relay, s.config.Names.OrdersDB),
		"KAFKA_BROKERS=" + brokers,
		"TOPIC=" + s.config.Names.Topic,
		"RELAY_SLOT=" + s.config.Names.Slot,
		"RELAY_LISTEN=" + address(port),
	}
}

func (s *Stack) projectorEnv(name string, port int) []string {
	return []string{
		"READMODEL_DATABASE_URL=" + s.server.urlAs(s.logins.projector, s.config.Names.ReadModelDB),
		"KAFKA_BROKERS=" + s.Brokers(),
		"TOPIC=" + s.config.Names.Topic,
		"PROJECTOR_GROUP=" + s.config.Names.Group,
		"PROJECTOR_INSTANCE=" + name, // one that is killed has its partitions back when it is, and not after a timeout
		"PROJECTOR_LISTEN=" + address(port),
	}
}

func (s *Stack) queryEnv() []string {
	return []string{
		"READMODEL_DATABASE_URL=" + s.server.urlAs(s.logins.reader, s.config.Names.ReadModelDB),
		"TOPIC=" + s.config.Names.Topic,
		"QUERY_LISTEN=" + address(s.config.Ports.Query),
	}
}

func (s *Stack) orderserviceEnv() []string {
	t := s.config.Traffic
	env := []string{
		"ORDERS_DATABASE_URL=" + s.server.urlAs(s.logins.writer, s.config.Names.OrdersDB),
		"ORDERSERVICE_LISTEN=" + address(s.config.Ports.OrderService),
		"GENERATE=" + strconv.FormatBool(!t.Off),
		"RATE=" + strconv.FormatFloat(s.rate(), 'f', -1, 64),
		"ORDERS=" + strconv.FormatInt(t.Orders, 10),
		"RUN=" + s.name, // so that a limit holds over its restarts
	}
	if t.Seed != 0 {
		env = append(env, "SEED="+strconv.FormatUint(t.Seed, 10))
	}
	if t.Writers != 0 {
		env = append(env, "WRITERS="+strconv.Itoa(t.Writers))
	}
	return env
}

// recover runs `relay recover` to its end.
func (s *Stack) recover(ctx context.Context, reason string) error {
	spec, err := s.spec("relay", "relay", always(s.relayEnv(s.config.Ports.Relay, s.Brokers())), "recover", "--reason", reason)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(spec.Path, spec.Args...) //nolint:noctx // stopped below
	cmd.Env, cmd.Stdout, cmd.Stderr = spec.Env(), log, log
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("relay recover: %w", err)
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		return errors.Join(ctx.Err(), process.Kill())
	}
	if err := process.Wait(); err != nil {
		return fmt.Errorf("relay recover: %w: %s; its log is %s", err, supervise.LastLine(spec.Log), spec.Log)
	}
	return nil
}
