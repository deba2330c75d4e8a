package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// adoptCommand is relay adopt.
type adoptCommand struct {
	config `embed:""`

	DryRun bool `name:"dry-run" help:"Say where the relay would go on, and change nothing. It holds the slot meanwhile."`
}

// Validate is called by kong.
func (c *adoptCommand) Validate() error {
	if c.Outbox == "" {
		return errors.New("adopt needs --outbox: the configuration of the connector that is taken over from")
	}
	return nil
}

// adopt takes over from a Debezium connector that was stopped. Its slot is where it has acknowledged, which lags behind what it
// has published: it acknowledges now and then. So the topics are asked, see readAhead and position. Nothing is read of the
// connector's own offsets, which can lag too, and may be anywhere.
//
// The slot is held to the end: let go of, the connector could come back and publish what the relay takes for its own.
func (s *session) adopt(ctx context.Context, dry bool, out io.Writer) error {
	if err := s.takeSlot(ctx); err != nil {
		return err
	}
	if err := unadopted(checkpoint.Peek(ctx, s.kafka, s.checkpointTopic())); err != nil {
		return err
	}
	h, err := s.readAhead(ctx)
	if err != nil {
		return err
	}
	if dry {
		err = s.inspect(ctx)
	} else {
		err = s.fenceUnadopted(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.found(ctx, maps.Keys(h.topics)); err != nil {
		return err
	}
	if err := s.hanging(ctx, s.names()...); err != nil {
		return err
	}
	records, err := s.lookFor(ctx, h, nil)
	if err != nil {
		return err
	}
	at, published, err := s.begins(h)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Of what slot %s would send, %d transactions with %d events, the connector has published %d events; the relay begins "+
		"behind them, at %s.\n", s.config.Slot, len(h.transactions), len(h.published), published, at.End)
	if dry {
		return nil
	}
	return s.begun(ctx, checkpoint.Record{Phase: checkpoint.Streaming, At: at, Events: records, Reason: s.config.Reason})
}

// fenceUnadopted is fence, and looks for the checkpoint again: a commit whose marker is on its way hides it until then.
func (s *session) fenceUnadopted(ctx context.Context) error {
	if err := s.fence(ctx); err != nil {
		return err
	}
	if err := s.hanging(ctx, s.checkpointTopic()); err != nil {
		return err
	}
	return unadopted(checkpoint.Read(ctx, s.kafka, s.checkpointTopic()))
}

// unadopted refuses to take over a second time.
func unadopted(cp checkpoint.Record, found bool, err error) error {
	switch {
	case errors.Is(err, checkpoint.ErrDamaged):
		return nil
	case err == nil && found:
		return fmt.Errorf("there is a checkpoint at %s already: the relay has taken over; run relay run", cp.At.End)
	}
	return err
}

// takeSlot holds the connector's slot.
func (s *session) takeSlot(ctx context.Context) error {
	waiting, cancel := context.WithTimeoutCause(ctx, slotFree, errors.New("the slot is in use: stop the connector (PUT /connectors/NAME/stop), then run relay adopt again"))
	defer cancel()
	err := s.lock(ctx, func(context.Context) error { return s.poll(waiting) })
	if err == nil && s.slot == nil {
		err = fmt.Errorf("there is no slot %s to take over: if the connector has none any more, run relay run, which makes one, and "+
			"see what docs/outbox.md says of a first start", s.config.Slot)
	}
	return s.unusable(ctx, err)
}
