package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/registry"
	"github.com/adamkwhite/kafkafoodpipeline/relay/spans"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

const (
	brokerWithin = 30 * time.Second // how long a session waits for a broker
	reachWithin  = 3 * time.Second  // how long one may take to answer
	askAgain     = 500 * time.Millisecond
)

// relay is what outlives its sessions.
type relay struct {
	config   config
	layout   *layout.Layout
	limits   limits
	open     []checkpoint.Gate // opened by the operator, for config.Reason
	log      *slog.Logger
	registry *prometheus.Registry
	metrics  *metrics
	health   *ops.Health
	spans    *spans.Exporter // nil where no collector is named

	schemas    *registry.Registry // nil where no schema registry is named
	registered topic.Schemas      // what the registry has made of them; nil until it was asked. A schema's id never changes
}

// session is one run of the start protocol and of the pump behind it. There is no other way in which the relay recovers
// from anything: every error ends the session, and with it everything that it knew.
type session struct {
	*relay

	fail context.CancelCauseFunc // ends the session's context with the error of one of its parts
	// interrupt has the session commit what it has at hand and end, because of a pause; nil before it publishes.
	interrupt atomic.Pointer[context.CancelCauseFunc]

	database *pgx.Conn // for questions; the stream has a connection of its own
	kafka    *kgo.Client
	source   wal.Identity
	print    string                   // the publication's fingerprint
	settled  atomic.Bool              // print will not change any more, and events are published by it
	topics   map[string]publish.Topic // that events are in; where rows are routed, those that are known so far
	asked    []string                 // names that were looked up before the fence
	mends    bool                     // an operator has said to end what hangs
	slot     *held                    // nil while there is no slot
	producer *publish.Producer
	cp       checkpoint.Record

	formerPrint string // print as the first relays made it
	remakes     bool   // the slot that is held is about to be made anew, whatever its log holds
}

// run goes through the start protocol and pumps until intake ends. The order of the steps is the proof (I6):
//
//  0. Where there is a schema registry, have it know the schemas. It comes first, since what the registry refuses must hold
//     nothing back.
//  1. Hold the slot. Whoever holds it is the one that tries; without this, two relays would fence each other for ever. A relay
//     that is paused lets go of it and waits.
//  2. Fence. From here on no predecessor can commit, and what it left open is aborted. A relay that was paused behind
//     this step and has lost the slot meanwhile fails at its next commit. One that was paused before it fences its
//     successor now, which is a nuisance and no harm: it reads the checkpoint afterwards, so it knows what that one did.
//  3. Read the checkpoint. Before step 2 a predecessor could still commit behind what was read, and its last
//     transaction would be published twice.
//  4. Check that source and topic are the checkpoint's (I7).
//  5. Drop what the checkpoint holds, publish the rest.
func (s *session) run(ctx, intake context.Context) error {
	start, stop := until(ctx, intake)
	defer stop()
	if err := s.register(start); err != nil {
		return err
	}
	if err := s.begin(start); err != nil {
		return err
	}
	intake, interrupt := context.WithCancelCause(intake)
	defer interrupt(nil)
	s.interrupt.Store(&interrupt)
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	defer context.AfterFunc(intake, func() { time.AfterFunc(drainFor, abort) })()
	err := s.publish(ctx, intake)
	if p := (*paused)(nil); errors.As(context.Cause(intake), &p) {
		return p // whatever else it met on the way out, the next session sees to
	}
	return err
}

// publish is steps 2 to 5.
func (s *session) publish(ctx, intake context.Context) error {
	start, stop := until(ctx, intake)
	defer stop()
	if err := s.awaitBroker(start); err != nil {
		return err
	}
	if err := s.fence(start); err != nil {
		return err
	}
	if err := s.checkHanging(start); err != nil {
		return err
	}
	if err := s.restore(start); err != nil {
		return err
	}
	crash.At(crash.Opened)
	return s.pump(ctx, intake)
}

// awaitBroker waits while no broker can be reached. The slot stays in hand, so that Postgres hears of the relay and need not decode
// from the slot's beginning again and again; but not for ever, since a standby may be where the brokers can be reached.
func (s *session) awaitBroker(ctx context.Context) error {
	deadline := time.Now().Add(brokerWithin)
	err := s.reachBroker(ctx, s.kafka)
	if err == nil || permanent(err) {
		return err
	}
	s.log.Warn("waiting for a broker", "err", err)
	quiet, failed := publish.Connect(s.config.Brokers, s.config.Security, slog.New(slog.DiscardHandler)) // each attempt would be a line
	if failed != nil {
		return failed
	}
	defer quiet.Close()
	for err != nil && !permanent(err) && time.Now().Before(deadline) {
		s.health.Set(healthRelay, err)
		if err := ops.Sleep(ctx, askAgain); err != nil {
			return err
		}
		err = s.reachBroker(ctx, quiet)
	}
	s.health.Set(healthRelay, errors.New("starting"))
	return err
}

// reachBroker bounds the question: the client would ask one broker after the other, for longer than a standby should wait.
func (s *session) reachBroker(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachWithin, errors.New("no answer"))
	defer cancel()
	return publish.Reach(ctx, client)
}

// until returns a context that ends with ctx or with intake.
func until(ctx, intake context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(intake, func() { cancel(errStopped) })
	return ctx, func() { stop(); cancel(nil) }
}

// fence takes the transactional id over.
func (s *session) fence(ctx context.Context) (err error) {
	if s.print, s.formerPrint, err = wal.Fingerprint(ctx, s.database, s.layout); err != nil {
		return err
	}
	if err := s.inspect(ctx); err != nil {
		return err
	}
	replicas, minISR, err := s.strength(ctx)
	if err != nil {
		return err
	}
	if err := checkpoint.EnsureTopic(ctx, s.kafka, s.checkpointTopic(), replicas, minISR); err != nil {
		return err
	}
	config := publish.Config{
		Brokers:  s.config.Brokers,
		Security: s.config.Security,
		// As the checkpoint topic's name: whoever could write that topic is fenced, whichever database it reads.
		TransactionalID: "relay." + s.config.Topic + "." + s.config.Slot,
		CheckpointTopic: s.checkpointTopic(),
		Topic:           s.onlyTopic(),
		Layout:          s.layout,
		Schemas:         s.registered,
		Source:          s.config.Source,
		Log:             s.log,
		Buried:          s.metrics.deadLetters.Inc,
	}
	if s.spans != nil {
		config.Spans = s.spans.Add
	}
	s.producer, err = publish.Open(ctx, config, slices.Collect(maps.Values(s.topics))...)
	crash.At(crash.Fenced)
	return err
}

// restore reads the checkpoint and gets to where streaming can go on from it.
func (s *session) restore(ctx context.Context) error {
	cp, found, err := checkpoint.Read(ctx, s.kafka, s.checkpointTopic())
	if err != nil {
		return err
	}
	crash.At(crash.Restored)
	s.cp = cp
	for name := range cp.Topics {
		if s.layout.Routed() && !slices.Contains(s.asked, name) { // another relay found it after this one had looked
			return fmt.Errorf("topic %s is new in the checkpoint", name)
		}
	}
	if err := s.stillNoSlot(ctx); err != nil {
		return err
	}
	if refusal := s.incomplete(found, s.slot != nil); refusal != nil {
		return refusal
	}
	if s.slot != nil && cp.Phase == checkpoint.Streaming {
		return s.check(ctx)
	}
	if s.slot != nil && !s.layout.Own { // a load that did not end
		if err := s.goOn(ctx, cp, cp.Reason); err != nil {
			return err
		}
		return errAgain
	}
	return s.load(ctx, cp.Reason) // the first start, or a load that did not end
}

// pump publishes until intake ends or a part of the session fails.
func (s *session) pump(ctx, intake context.Context) error {
	// The checkpoint is committed, so the server may know; after a crash of its own it may have forgotten.
	s.slot.Confirm(s.cp.At.End)
	s.metrics.reached(s.cp)
	s.metrics.is(roleActive)
	s.settled.Store(true)
	s.health.Set(healthRelay, nil)
	s.log.Info("publishing", "topic", s.config.Topic, "lsn", s.cp.At.End.String(), "events", s.cp.Events)
	pruning, stopPruning := context.WithCancel(ctx)
	pruned := make(chan struct{})
	go func() {
		defer close(pruned)
		s.prune(pruning)
	}()
	defer func() {
		stopPruning()
		<-pruned
	}()
	p := newPump(s.slot, s.producer, s.cp, s.limits, s.metrics)
	p.hole = s.passHole
	err := p.run(ctx, intake)
	if err != nil && (p.batch.events > 0 || len(p.ending) > 0) {
		s.metrics.broken(err)
	}
	if errors.Is(err, kerr.MessageTooLarge) {
		return s.lowered(ctx, err)
	}
	return foreign(err) // of a topic that was found meanwhile
}

// lowered turns the brokers' refusal of a record batch into an error that passes, if the topic's limit was lowered since it
// was read: the next session keeps to the new one. If it was not, the brokers' own limit is lower than the topic says.
func (s *session) lowered(ctx context.Context, err error) error {
	for _, was := range s.producer.Topics() {
		now, failed := publish.Inspect(ctx, s.kafka, was.Name)
		if failed != nil {
			return errors.Join(err, failed)
		}
		if now.MaxMessageBytes < was.MaxMessageBytes {
			return fmt.Errorf("max.message.bytes of topic %s was lowered to %d", was.Name, now.MaxMessageBytes)
		}
	}
	return err
}

func (s *session) checkpointTopic() string {
	return checkpoint.Topic(s.config.Topic, s.config.Slot)
}

// foreign refuses a record that no relay wrote.
func foreign(err error) error {
	if !errors.Is(err, topic.ErrMalformed) {
		return err
	}
	return &checkpoint.Refusal{
		Gate:   checkpoint.GateTail,
		Found:  err.Error(),
		Remedy: "Something other than the relay writes to the topic: take its right to, make a new topic and run relay recover",
	}
}

// position is the identity of the log that this session reads.
func (s *session) position() checkpoint.Source {
	return checkpoint.Source{SystemID: s.source.SystemID, Timeline: s.source.Timeline, Publication: s.print}
}
