package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/doctor"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// statusCommand is relay status.
type statusCommand struct {
	config           `embed:""`
	auth.ClientFlags `embed:""`

	Listen string   `help:"Address that a relay listens at, if --relay names none (${default})." env:"RELAY_LISTEN" default:"127.0.0.1:7482" placeholder:"HOST:PORT"`
	Relays []string `name:"relay" help:"Addresses of the relays to ask. None need answer: the rest is seen in Postgres and Kafka." env:"RELAY_ADDRESSES" placeholder:"HOST:PORT,..."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// addresses are the relays to ask.
func (c *statusCommand) addresses() []string {
	if len(c.Relays) > 0 {
		return c.Relays
	}
	return []string{c.Listen}
}

// status is what can be seen from outside. What could not be seen is nil, and NotReady says why.
type status struct {
	Relays     []relayStatus      `json:"relays"`
	Slot       *slotStatus        `json:"slot"`
	Checkpoint *checkpoint.Record `json:"checkpoint"`
	Behind     *behind            `json:"behind"`
	Paused     *pauseStatus       `json:"paused"` // null unless relay pause was given
	NotReady   []string           `json:"not_ready"`
}

type pauseStatus struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

type slotStatus struct {
	Name     string         `json:"name"`
	Active   bool           `json:"active"`
	Holder   *doctor.Holder `json:"holder"`
	Status   string         `json:"wal_status"`
	Retained int64          `json:"retained_bytes"`
	Safe     *int64         `json:"safe_bytes"`           // null for no limit
	Rate     float64        `json:"wal_bytes_per_second"` // of the server's log
	LostIn   *float64       `json:"slot_lost_in_seconds"` // if nothing were acknowledged from now on; null for no end in sight
}

// behind is what is committed in Postgres and not in the topic.
type behind struct {
	Bytes  int64    `json:"wal_bytes"`
	Events *int64   `json:"events"` // null for not known
	Age    *float64 `json:"oldest_seconds"`
}

// rateOver is over how long the rate of the log is measured.
const rateOver = time.Second

// report looks, prints, and returns an error without words if something is not ready or could not be seen.
func (r *relay) report(ctx context.Context, c *statusCommand, out io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookFor, errors.New("no answer for too long"))
	defer cancel()
	client, err := c.Client(r.log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	defer client.CloseIdleConnections()
	now := r.see(ctx, c, client)
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(now); err != nil {
			return err
		}
	} else {
		now.write(out)
	}
	if len(now.NotReady) > 0 {
		return &ops.ExitError{Code: 1}
	}
	return nil
}

func (r *relay) see(ctx context.Context, c *statusCommand, client *http.Client) status {
	now := status{NotReady: []string{}}
	for _, address := range c.addresses() {
		now.Relays = append(now.Relays, c.askRelay(ctx, client, address))
	}
	for _, relay := range now.Relays {
		for _, reason := range relay.NotReady {
			now.NotReady = append(now.NotReady, relay.Address+": "+reason)
		}
	}
	missing := func(where string, err error) {
		if err != nil {
			now.NotReady = append(now.NotReady, fmt.Sprintf("%s: %v", where, err))
		}
	}
	s, closeAll, err := r.look(ctx)
	missing("Postgres", err)
	if s == nil {
		return now
	}
	defer closeAll()
	var end outbox.LSN
	if s.database != nil {
		end, err = s.seeSlot(ctx, &now)
		missing("Postgres", err)
	}
	missing("Kafka", s.seeCheckpoint(ctx, &now, end))
	return now
}

// seeSlot looks twice, for the rate, and returns where the log ends.
func (s *session) seeSlot(ctx context.Context, now *status) (end outbox.LSN, err error) {
	p, err := findPause(ctx, s.database, s.config.Slot)
	if err != nil {
		return 0, err
	}
	if p != nil {
		now.Paused = &pauseStatus{Reason: p.reason, Since: p.since}
		now.NotReady = append(now.NotReady, p.Error())
	}
	var speed pace
	slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
	if errors.Is(err, wal.ErrNoSlot) {
		now.NotReady = append(now.NotReady, fmt.Sprintf("slot %s does not exist: a first start makes it; relay "+
			"doctor says if it was lost", s.config.Slot))
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	speed.to(slot.Flushed, time.Now())
	if err := ops.Sleep(ctx, rateOver); err != nil {
		return 0, err
	}
	if slot, err = wal.Inspect(ctx, s.database, s.config.Slot); err != nil {
		return 0, err
	}
	seen := &slotStatus{
		Name: s.config.Slot, Active: slot.Active, Status: slot.Status, Retained: slot.Retained,
		Safe: slot.Safe,
	}
	seen.Rate = speed.to(slot.Flushed, time.Now())
	if in, known := lostIn(slot, seen.Rate); known {
		seconds := in.Seconds()
		seen.LostIn = &seconds
	}
	now.Slot = seen
	if err := s.held(slot); err != nil {
		now.NotReady = append(now.NotReady, err.Error())
	}
	if !slot.Active && now.Paused != nil {
		return slot.Flushed, nil
	}
	if !slot.Active {
		now.NotReady = append(now.NotReady, fmt.Sprintf("no relay holds slot %s: start one; relay doctor says what "+
			"would stop it", s.config.Slot))
		return slot.Flushed, nil
	}
	seen.Holder, err = doctor.WhoHolds(ctx, s.database, s.config.Slot)
	return slot.Flushed, err
}

// seeCheckpoint looks how far the topic has come, of a log that ends at end, or 0 if that is not known.
func (s *session) seeCheckpoint(ctx context.Context, now *status, end outbox.LSN) error {
	cp, found, err := checkpoint.Peek(ctx, s.kafka, s.checkpointTopic())
	if err != nil {
		return err
	}
	if !found {
		now.NotReady = append(now.NotReady, s.checkpointTopic()+
			" holds no checkpoint: nothing was published, or it was lost; relay doctor says which")
		return nil
	}
	now.Checkpoint = &cp
	if cp.Phase == checkpoint.Loading {
		now.NotReady = append(now.NotReady, "a load from the table is under way, or broke off")
		return nil
	}
	if s.database == nil {
		return nil
	}
	now.Behind = &behind{}
	if end > cp.At.End {
		now.Behind.Bytes = int64(end - cp.At.End)
	}
	if !s.layout.Own { // there is no number to count them by
		return nil
	}
	var seen seen
	seen.last.Store(&cp)
	seen.count(ctx, s.database)
	if p := seen.pending.Load(); p != nil {
		now.Behind.Events, now.Behind.Age = &p.events, &p.age
	}
	return nil
}
