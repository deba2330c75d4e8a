package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/doctor"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// doctorCommand is relay doctor.
type doctorCommand struct {
	config `embed:""`

	JSON bool `name:"json" help:"Print the report as JSON."`
}

// examine prints what is found, and returns an error without words: the report has them.
func (r *relay) examine(ctx context.Context, out io.Writer, asJSON bool) error {
	url, err := r.config.Login(r.config.DatabaseURL)
	if err != nil {
		return err
	}
	report := doctor.Examine(ctx, doctor.Config{
		DatabaseURL: url, Brokers: r.config.Brokers, Security: r.config.Security,
		Layout: r.layout, Topics: r.known(ctx), Name: r.config.Topic, Slot: r.config.Slot, MaxRetainedWAL: r.config.MaxRetainedWAL, Log: r.log,
	})
	report.Findings = append(report.Findings, r.knows(ctx)...)
	report.Findings = append(report.Findings, r.history(ctx))
	if asJSON {
		err = report.WriteJSON(out)
	} else {
		report.Write(out)
	}
	if err != nil {
		return err
	}
	switch report.ExitCode() {
	case doctor.ExitRefused:
		return &ops.ExitError{Code: exitRefused}
	case doctor.ExitUnusable:
		return &ops.ExitError{Code: exitUnusable}
	case doctor.ExitUnknown:
		return &ops.ExitError{Code: 1}
	}
	return nil
}

// known are the topics that events are in, as far as that can be found out.
func (r *relay) known(ctx context.Context) []string {
	s := &session{relay: r}
	if r.layout.Routed() {
		client, err := publish.Connect(r.config.Brokers, r.config.Security, r.log)
		if err != nil {
			return nil // the report will say so
		}
		defer client.Close()
		s.kafka = client
	}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	names, err := s.topicNames(ctx)
	if err != nil {
		return nil // as above
	}
	return names
}

// lookFor bounds what of a look has to wait: for answers, and at the topic's end for a transaction that a relay left open.
const lookFor = 15 * time.Second

// history holds source and topic against the checkpoint, as a start would.
func (r *relay) history(ctx context.Context) doctor.Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, lookFor, errors.New("no answer for too long"))
	defer cancel()
	found, err := r.gates(ctx)
	f := doctor.Finding{System: doctor.History, Check: "gates", Verdict: doctor.OK, Found: found}
	if err == nil {
		return f
	}
	f.Verdict, f.ExitCode, f.Found = doctor.Unknown, doctor.ExitUnknown, err.Error()
	f.Remedy = []string{"mend what is wrong above, then ask again"}
	var refusal *checkpoint.Refusal
	switch {
	case errors.As(err, &refusal):
		f.Check, f.Verdict, f.ExitCode = "gate "+string(refusal.Gate), doctor.Wrong, doctor.ExitRefused
		f.Found, f.Remedy = refusal.Found, []string{refusal.Remedy}
	case permanent(err):
		f.Verdict, f.ExitCode = doctor.Wrong, doctor.ExitUnusable
	}
	if errors.Is(err, checkpoint.ErrDamaged) {
		f.Remedy = []string{"relay recover --reason '...'"}
	}
	return f
}

// gates goes through a start without the steps that take something over. While a relay is active there is nothing to ask: it
// has passed them, and what it publishes meanwhile would look like another's.
func (r *relay) gates(ctx context.Context) (found string, err error) {
	s, closeAll, err := r.look(ctx)
	if s != nil {
		defer closeAll()
	}
	if err != nil {
		return "", err
	}
	const passed = "a relay is active, and has passed them"
	slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
	if err == nil && slot.Active && !r.layout.Own {
		if _, found, err := checkpoint.Peek(ctx, s.kafka, s.checkpointTopic()); err == nil && !found {
			return "the slot is in use, and there is no checkpoint: to take over from the connector, stop it and run relay adopt", nil
		}
	}
	if err == nil && slot.Active {
		return passed, nil
	}
	exists := err == nil
	if err != nil && !errors.Is(err, wal.ErrNoSlot) {
		return "", err
	}
	found, err = s.compare(ctx, exists)
	if err == nil {
		return found, nil
	}
	if slot, again := wal.Inspect(ctx, s.database, s.config.Slot); again == nil && slot.Active {
		return passed, nil // it began while this looked
	}
	return "", err
}

// look opens what a session has for questions. Where only the database cannot be had, it returns its error beside the session,
// which then has none.
func (r *relay) look(ctx context.Context) (s *session, closeAll func(), err error) {
	s = &session{relay: r}
	if s.kafka, err = publish.Connect(r.config.Brokers, r.config.Security, r.log); err != nil {
		return nil, nil, err
	}
	if s.database, err = s.connect(ctx); err != nil {
		s.database = nil
		return s, s.kafka.Close, err
	}
	return s, func() {
		s.kafka.Close()
		_ = s.database.Close(context.WithoutCancel(ctx)) // nothing was written
	}, nil
}

// compare is what a start does behind its fence (I7).
func (s *session) compare(ctx context.Context, slot bool) (found string, err error) {
	if s.print, s.formerPrint, err = wal.Fingerprint(ctx, s.database, s.layout); err != nil {
		return "", err
	}
	if s.source, err = s.identify(ctx); err != nil {
		return "", err
	}
	if err := s.inspect(ctx); err != nil {
		return "", err
	}
	var there bool
	if s.cp, there, err = checkpoint.Peek(ctx, s.kafka, s.checkpointTopic()); err != nil {
		return "", err
	}
	if refusal := s.incomplete(there, slot); refusal != nil {
		return "", refusal
	}
	if !there {
		return "no checkpoint and no slot: the first start publishes what is in the table", nil
	}
	if s.cp.Phase == checkpoint.Loading {
		return "a load broke off: the next start loads anew what the topic lacks", nil
	}
	if err := s.checkHanging(ctx); err != nil {
		return "", err
	}
	if _, err := s.pass(ctx, nil); err != nil {
		return "", err
	}
	return fmt.Sprintf("open: source and topic are those of the checkpoint at %s, %d events", s.cp.At.End,
		s.cp.Events), nil
}

func (s *session) identify(ctx context.Context) (wal.Identity, error) {
	conn, err := s.replication(ctx)
	if err != nil {
		return wal.Identity{}, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing was written
	return wal.Identify(ctx, conn)
}
