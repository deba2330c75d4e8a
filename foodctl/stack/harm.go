package stack

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/cable"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
)

// harm is what is being done to a system on purpose and ends by itself. It is safe for concurrent use.
type harm struct {
	over    chan struct{} // closed when all of it is to end
	running sync.WaitGroup

	// mu guards what follows.
	mu      sync.Mutex
	going   map[string]bool // by what is done to whom
	stopped bool
	rate    float64 // orders a second that orderservice is started with
}

// errStopping is returned for harm to a system that stops, or of which the last events are to arrive.
var errStopping = errors.New("the system is being stopped")

// begin notes that something is done to a program. Done twice at a time, the first end would be the second's, too.
func (h *harm) begin(what, name string) (end func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := what + " " + name
	switch {
	case h.stopped:
		return nil, errStopping
	case h.going[key]:
		return nil, fmt.Errorf("%s is in the middle of one: wait until it is over", name)
	}
	h.going[key] = true
	h.running.Add(1)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.going, key)
		h.running.Done()
	}, nil
}

// stop ends all of it and waits until everybody is as before.
func (h *harm) stop() {
	h.mu.Lock()
	if !h.stopped {
		h.stopped = true
		close(h.over)
	}
	h.mu.Unlock()
	h.running.Wait()
}

// allowed says whether more may be done.
func (h *harm) allowed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return errStopping
	}
	return nil
}

// last waits for the time that it is to last. The system's end is no error, the caller's is.
func (h *harm) last(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// named finds a program.
func (s *Stack) named(name string) (*Program, error) {
	var names []string
	for _, p := range s.Programs() {
		if p.Name() == name {
			return p, nil
		}
		names = append(names, p.Name())
	}
	return nil, fmt.Errorf("there is no program %q: give one of %s", name, strings.Join(names, ", "))
}

// EndHarm ends all that is being done to the system, waits until everybody is as before, and has all more refused: what
// hangs would keep what is on its way from arriving. Stop does it, too.
func (s *Stack) EndHarm() { s.harm.stop() }

// explained says of a program that is down whether it will be for long.
func (p *Program) explained(err error) error {
	if !errors.Is(err, supervise.ErrNotRunning) {
		return err
	}
	select {
	case <-p.done:
		return fmt.Errorf("%w: it was stopped for good, or could not be kept running", err)
	default:
		return fmt.Errorf("%w at the moment: it is being started, try again", err)
	}
}

// Kill sends SIGKILL to a program, which is started again at once. It returns the id of the process that it hit.
func (s *Stack) Kill(name string) (pid int, err error) {
	p, err := s.named(name)
	if err == nil {
		err = s.harm.allowed()
	}
	if err != nil {
		return 0, fmt.Errorf("kill: %w", err)
	}
	if pid, err = p.Signal(syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("kill: %w", p.explained(err))
	}
	return pid, nil
}

// Pause sends SIGSTOP to a program, and SIGCONT when the time is over, ctx ends or the system is stopped, whichever is
// first. It returns after the SIGCONT. The program may be killed meanwhile: the next process is not paused.
func (s *Stack) Pause(ctx context.Context, name string, d time.Duration) (err error) {
	p, err := s.named(name)
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	end, err := s.harm.begin("pause", name)
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	defer end()
	if _, err := p.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause: %w", p.explained(err))
	}
	lasted := s.harm.last(ctx, d)
	_, err = p.Signal(syscall.SIGCONT)
	if errors.Is(err, supervise.ErrNotRunning) {
		err = nil // it was killed, or is being stopped, which lets a paused one go on
	}
	return errors.Join(lasted, err)
}

// Partition cuts a relay off from Kafka until the time is over, ctx ends or the system is stopped, whichever is first: its
// connections stay open, and nothing passes. It returns when everything passes again.
func (s *Stack) Partition(ctx context.Context, name string, d time.Duration) error {
	if _, err := s.named(name); err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	brokers := s.cables[name]
	switch {
	case !slices.ContainsFunc(s.Relays, func(p *Program) bool { return p.Name() == name }):
		return fmt.Errorf("partition: %s is no relay: only a relay can be cut off from Kafka", name)
	case brokers == nil:
		return errors.New("partition: the relays of this system have no cable that could be cut: start it with one")
	}
	end, err := s.harm.begin("partition", name)
	if err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	defer end()
	brokers.Cut()
	defer brokers.Mend()
	return s.harm.last(ctx, d)
}

// SetRate lets orderservice generate so many orders a second from now on, 0 for as fast as it can. It is started again
// for that, and finishes what it has in hand before; SetRate does not wait for it.
func (s *Stack) SetRate(ordersPerSecond float64) error {
	switch {
	case ordersPerSecond < 0 || math.IsNaN(ordersPerSecond) || math.IsInf(ordersPerSecond, 0):
		return fmt.Errorf("rate: %g orders a second: give 0, for as fast as it can, or more", ordersPerSecond)
	case s.config.Traffic.Off:
		return errors.New("rate: orderservice generates no orders in this system")
	}
	s.harm.mu.Lock()
	defer s.harm.mu.Unlock()
	if s.harm.stopped {
		return fmt.Errorf("rate: %w", errStopping)
	}
	s.harm.rate = ordersPerSecond
	s.OrderService.Restart()
	return nil
}

// rate is what orderservice is to be started with.
func (s *Stack) rate() float64 {
	s.harm.mu.Lock()
	defer s.harm.mu.Unlock()
	return s.harm.rate
}

// wire puts a cable between a relay and the brokers, if there are to be any, and returns where they are to be found.
func (s *Stack) wire(ctx context.Context, relay string) (brokers string, err error) {
	if !s.config.Cables {
		return s.Brokers(), nil
	}
	b, err := cable.StartBrokers(ctx, broker.Seeds(s.Brokers()), cable.NewGate())
	if err != nil {
		return "", fmt.Errorf("cable of %s: %w", relay, err)
	}
	s.cables[relay] = b
	return b.Addresses(), nil
}
