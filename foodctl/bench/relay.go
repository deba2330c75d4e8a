package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// relay is a relay of the trial, as a process that can be started again and again.
type relay struct {
	name    string
	program string
	env     []string
	url     string // of its metrics
	log     string // path; all of its processes write to it

	process *child.Process // the newest
}

// The roles that a relay says it has (metric relay_role).
const (
	active  = "active"
	standby = "standby"
)

// patience is how long a relay may take for anything that it is to do soon.
const patience = time.Minute

// relay names a relay of the trial without starting it. It reaches Postgres and Kafka at these addresses, "" for the
// servers themselves.
func (s *servers) relay(name, postgres, kafka string) (*relay, error) {
	port, err := ports.Free()
	if err != nil {
		return nil, err
	}
	if kafka == "" {
		kafka = s.Brokers
	}
	address := net.JoinHostPort(stack.Host, strconv.Itoa(port))
	return &relay{
		name: name, program: s.Relay, url: "http://" + address, log: filepath.Join(s.dir, name+".log"),
		env: append(stack.Inherited(os.Environ()),
			"ORDERS_DATABASE_URL="+s.relayURL(postgres), "KAFKA_BROKERS="+kafka, "TOPIC="+s.names.Topic,
			"RELAY_SLOT="+s.names.Slot, "RELAY_LISTEN="+address, "LOG_FORMAT=text"),
	}, nil
}

// start starts a process, which dies with this one.
func (r *relay) start() error {
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(r.program, "run") //nolint:noctx // stop ends it
	cmd.Env, cmd.Stdout, cmd.Stderr = r.env, log, log
	if r.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return fmt.Errorf("start %s: %w", r.name, err)
	}
	return nil
}

// await waits until the relay has the role.
func (r *relay) await(ctx context.Context, role string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s is not %s within %s", r.name, role, patience))
	defer cancel()
	return r.until(ctx, 10*time.Millisecond, func(ctx context.Context) (bool, error) {
		m, err := status.Scrape(ctx, r.url)
		return err == nil && m.Is("relay_role", "role", role), nil // it does not answer before it has begun
	})
}

// until asks again and again whether something is so, for as long as the relay lives.
func (r *relay) until(ctx context.Context, every time.Duration, so func(context.Context) (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if is, err := so(ctx); is || err != nil {
			return err
		}
		select {
		case <-r.process.Done():
			return r.ended()
		case <-ctx.Done():
			return fmt.Errorf("%w; its log ends: %s", context.Cause(ctx), supervise.LastLine(r.log))
		case <-tick.C:
		}
	}
}

func (r *relay) ended() error {
	how := "exit code 0"
	if err := r.process.Wait(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s ended, %s: %s", r.name, how, supervise.LastLine(r.log))
}

// stop lets the relay drain and waits until it is gone. One that was never started, or is gone, is no error.
func (r *relay) stop(ctx context.Context) error {
	if r.process == nil {
		return nil
	}
	// A paused one would not hear of its end.
	if err := errors.Join(r.process.Signal(syscall.SIGTERM), r.process.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	select {
	case <-r.process.Done():
		return nil
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), r.process.Kill())
	case <-time.After(patience):
		err := fmt.Errorf("%s does not stop; its log ends: %s", r.name, supervise.LastLine(r.log))
		return errors.Join(err, r.process.Kill())
	}
}

// prime lets a relay run until slot and checkpoint exist and the slot is up to date, and stops it.
func (s *servers) prime(ctx context.Context, r *relay) error {
	err := r.start()
	if err == nil {
		err = r.await(ctx, active)
	}
	if err == nil {
		err = s.settle(ctx, r)
	}
	return errors.Join(err, r.stop(context.WithoutCancel(ctx)))
}

const selectBehind = `
SELECT (confirmed_flush_lsn - restart_lsn)::bigint
FROM pg_replication_slots
WHERE slot_name = $1`

// settle waits until the server would begin to read the log for the slot close to where that was acknowledged. Right
// after a backlog it would begin inside of that one, where the last snapshot of running transactions stood that it had
// decoded, and the next measurement would pay for decoding it a second time. What it takes is a snapshot, which a
// checkpoint writes, and then an acknowledgement; a relay gives one every ten seconds while there is nothing to
// publish.
func (s *servers) settle(ctx context.Context, r *relay) error {
	const near = 100 << 10 // bytes
	late := fmt.Errorf("slot %s does not follow within %s", s.names.Slot, patience)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, late)
	defer cancel()
	return r.until(ctx, time.Second, func(ctx context.Context) (bool, error) {
		var behind int64
		if err := s.db.QueryRow(ctx, selectBehind, s.names.Slot).Scan(&behind); err != nil || behind <= near {
			return err == nil, err
		}
		_, err := s.db.Exec(ctx, "CHECKPOINT")
		return false, err
	})
}

const selectSlot = `
SELECT coalesce(active_pid, 0), coalesce(confirmed_flush_lsn - '0/0', 0)::bigint
FROM pg_replication_slots
WHERE slot_name = $1`

// slot says which server process streams from a slot, 0 for none, and up to where it was acknowledged.
func (s *servers) slot(ctx context.Context, name string) (pid int, confirmed int64, err error) {
	if err = s.db.QueryRow(ctx, selectSlot, name).Scan(&pid, &confirmed); err != nil {
		err = fmt.Errorf("slot %s: %w", name, err)
	}
	return pid, confirmed, err
}

// released waits until nobody streams from a slot: a server process may outlive its connection for a moment.
func (s *servers) released(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		pid, _, err := s.slot(ctx, name)
		if err != nil || pid == 0 {
			return err
		}
		if err := ops.Sleep(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("slot %s stays in use: %w", name, err)
		}
	}
}
