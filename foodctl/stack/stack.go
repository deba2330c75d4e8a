// Package stack runs a whole system on this machine: a Postgres server and a broker, or connections to given ones, and
// orderservice, relay, projectors and the query API as child processes that are started again when they die.
//
// It promises that of what it started nothing outlives this process, that two of them never share a data directory, and
// that what the dev broker forgot is filled in again from the event log. What is on given servers it leaves there. What
// may be done to a running system (Kill, Pause, Partition, SetRate) ends by itself, and never keeps Stop from its end.
package stack

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/cable"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/programs"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
)

// Stack is a running system.
type Stack struct {
	OrderService *Program
	Relays       []*Program
	Publisher    *Program // the naive one; nil but with Config.Naive
	Projectors   []*Program
	Query        *Program // projector serve
	Topic        broker.Topic
	Refilled     bool // the topic was filled anew from the outbox
	Fresh        bool // the read model was empty at the start

	config   Config
	name     string // of this run
	logins   logins
	server   *server
	postgres *pgserver.Server // nil on a given server
	dev      *broker.Dev      // nil on given brokers
	binaries string           // the directory of the programs
	before   int64            // the highest sequence number of the outbox at the start
	failed   chan error       // gets the error of each program that cannot be kept running, and Postgres's
	stopping atomic.Bool
	watched  chan struct{} // closed when Postgres is gone
	harm     harm
	cables   map[string]*cable.Brokers // by relay; empty without Config.Cables
}

// How long given brokers may take to answer, and to have made the topic. Those that answer are there, and may be slow.
const (
	brokersTimeout = 15 * time.Second
	topicTimeout   = time.Minute
)

// Start starts everything, in the order in which one thing needs another. If it fails, nothing is left running.
func Start(ctx context.Context, c Config) (*Stack, error) {
	if err := probe(ctx, c.uses()); err != nil {
		return nil, err
	}
	s := &Stack{
		config: c, name: "foodctl-" + rand.Text()[:10], logins: newLogins(c.Names.Login), failed: make(chan error, 4+c.Relays+c.Projectors),
		harm: harm{over: make(chan struct{}), going: make(map[string]bool), rate: c.Traffic.Rate}, cables: make(map[string]*cable.Brokers),
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		s.binaries, err = programs.Find(gctx, s.config.Progress)
		return err
	})
	g.Go(func() error { return s.startDatabases(gctx) })
	g.Go(func() error { return s.startBroker(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.agree(ctx); err != nil {
		return err
	}
	var err error
	if s.before, err = s.server.newest(ctx, s.config.Names); err != nil {
		return err
	}
	s.Fresh = s.before == 0 || s.Refilled
	return s.startPrograms(ctx)
}

// settings of the private cluster. max_slot_wal_keep_size bounds the disk that a relay which stays away can fill (I11).
var settings = map[string]string{
	"wal_level":              "logical",
	"synchronous_commit":     "on",
	"max_connections":        "100",
	"max_replication_slots":  "10",
	"max_wal_senders":        "10",
	"max_slot_wal_keep_size": "4GB",
	"max_wal_size":           "2GB",
	"shared_buffers":         "128MB",
}

func (s *Stack) startDatabases(ctx context.Context) error {
	admin := s.config.DatabaseURL
	if admin == "" {
		dir, err := s.config.Directory.Sub("postgres")
		if err != nil {
			return err
		}
		s.postgres, err = pgserver.Start(ctx, pgserver.Config{
			Dir: dir, Port: s.config.Ports.Postgres, Settings: settings,
			Progress: s.config.Progress,
		})
		if err != nil {
			return err
		}
		s.watch(ctx)
		admin = s.postgres.URL(pgserver.Superuser, "postgres")
	}
	var err error
	if s.server, err = newServer(ctx, admin); err != nil {
		return err
	}
	return s.server.prepare(ctx, s.config.Names, s.logins)
}

// watch reports the end of the private server as a failure, unless it comes from Stop.
func (s *Stack) watch(ctx context.Context) {
	s.watched = make(chan struct{})
	go func() {
		defer close(s.watched)
		err := s.postgres.Wait()
		if s.stopping.Load() || ctx.Err() != nil {
			return
		}
		s.failed <- fmt.Errorf("Postgres ended (its log is in %s; start again, it recovers by itself): %w", s.config.Directory.Path,
			cmp.Or(err, errors.New("somebody stopped it")))
	}()
}

func (s *Stack) startBroker(ctx context.Context) (err error) {
	if s.config.DevBroker() {
		if s.dev, err = broker.StartDev(s.config.Ports.Broker); err != nil {
			return err
		}
	}
	answering, cancel := context.WithTimeout(ctx, brokersTimeout)
	defer cancel()
	client, err := broker.Connect(answering, s.Brokers())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel = context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	s.Topic, err = broker.Ensure(ctx, client, s.config.Names.Topic, 0)
	return err
}

// agree makes topic and read model agree with the event log, if the topic that they agreed with is gone.
func (s *Stack) agree(ctx context.Context) error {
	now := homeOf(s.Topic, s.config.DevBroker())
	refill, err := s.server.settle(ctx, s.config.Names, now)
	if err != nil {
		return err
	}
	if refill {
		s.config.Progress("the dev broker has forgotten its topic: filling it anew from the outbox")
		if err := s.server.renew(ctx, s.config.Names); err != nil {
			return err
		}
		if err := s.recover(ctx, "dev broker restarted"); err != nil {
			return err
		}
		s.Refilled = true
	}
	return s.server.moveIn(ctx, s.config.Names, now)
}

// Brokers are the addresses of the brokers, comma-separated.
func (s *Stack) Brokers() string {
	if s.dev != nil {
		return s.dev.Address()
	}
	return s.config.Brokers
}

// OrdersURL and ReadModelURL are an administrator's. They hold a password.
func (s *Stack) OrdersURL() string { return s.server.url(s.config.Names.OrdersDB) }

// ReadModelURL is an administrator's. It holds a password.
func (s *Stack) ReadModelURL() string { return s.server.url(s.config.Names.ReadModelDB) }

// PostgresPID is the process id of the private server, 0 for a given one.
func (s *Stack) PostgresPID() int {
	if s.postgres == nil {
		return 0
	}
	return s.postgres.PID()
}

// Postgres says in a few words which server it is.
func (s *Stack) Postgres() string {
	version, _, _ := strings.Cut(s.server.version, " ")
	return fmt.Sprintf("Postgres %s at %s", version, s.server.where())
}

// Programs are all programs, in the order in which an event meets them.
func (s *Stack) Programs() []*Program {
	return slices.Concat(programsOf(s.OrderService), s.Relays, programsOf(s.Publisher), s.Projectors, programsOf(s.Query))
}

// Failed yields an error for each program that cannot be kept running, and for a Postgres that is gone.
func (s *Stack) Failed() <-chan error { return s.failed }

// Notes are what is worth knowing about given servers.
func (s *Stack) Notes() []string {
	var notes []string
	if s.dev == nil {
		notes = append(notes, s.Topic.Notes...)
	}
	if s.postgres == nil {
		notes = append(notes, s.server.notes...)
	}
	return notes
}

// stopGrace is how long Postgres may take for its shutdown checkpoint.
const stopGrace = 30 * time.Second

// Stop stops everything in the order of an event's way, so that nothing new comes in while what is on its way arrives.
func (s *Stack) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	s.EndHarm() // what hangs could not drain
	for _, stage := range [][]*Program{programsOf(s.OrderService), s.Relays, programsOf(s.Publisher), s.Projectors, programsOf(s.Query)} {
		stopAll(stage)
	}
	for _, c := range s.cables {
		c.Close()
	}
	if s.dev != nil {
		s.dev.Close()
	}
	if s.postgres == nil {
		return s.forgetSlot(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	if err := s.postgres.Stop(ctx, pgserver.Fast); err != nil {
		return err
	}
	<-s.watched
	return nil
}

// forgetSlot drops the slot on a given server if its topic was the dev broker's: the next start makes another, and until
// then this one would keep log files for nobody.
func (s *Stack) forgetSlot(ctx context.Context) error {
	if s.server == nil || s.dev == nil || len(s.Relays) == 0 {
		return nil
	}
	return s.server.dropSlot(ctx, s.config.Names)
}

func programsOf(p *Program) []*Program {
	if p == nil {
		return nil
	}
	return []*Program{p}
}
