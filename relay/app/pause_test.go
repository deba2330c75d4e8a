package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// reason is the operator's.
const reason = "the warehouse counts"

// pausing gives relay pause or relay resume, and returns what it printed.
func (s *system) pausing(command string, flags ...string) string {
	s.t.Helper()
	var out, log bytes.Buffer
	args := append([]string{
		command, "--database-url=" + s.config.DatabaseURL, "--brokers=" + strings.Join(s.config.Brokers, ","), "--slot=" + s.config.Slot,
	}, flags...)
	if err := run(s.t.Context(), args, &out, &log); err != nil {
		s.t.Fatalf("relay %s: %v%s", command, err, log.String())
	}
	return out.String()
}

func (s *system) pause() string { return s.pausing("pause", "--reason="+reason) }

func (s *system) resume() string { return s.pausing("resume") }

// The one that publishes lets go, the one that stands by takes the slot then, and one that is started later finds it free.
func TestPausedRelaysPublishNothingUntilResumed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, _ := s.start()
	s.write(3, 2)
	s.published()
	second, _ := s.start()
	s.wait("the second relay to stand by", func() bool { return role(second) == roleStandby })

	if out := s.pause(); !strings.Contains(out, "no relay publishes") {
		t.Errorf("pause said %q", out)
	}
	before := s.checkpoint()
	s.write(5, 2)
	third, _ := s.start()
	for _, r := range []*relay{first, second, third} {
		s.wait("each relay to be paused", func() bool { return role(r) == rolePaused })
	}
	if got := s.checkpoint(); got.Events != before.Events || len(s.messages()) != int(before.Events) {
		t.Errorf("%d events in the checkpoint, %d in the topic, %d before the pause", got.Events, len(s.messages()), before.Events)
	}
	for _, r := range []*relay{second, third} {
		if testutil.ToFloat64(r.metrics.checkpointLSN) != 0 {
			t.Error("a relay that came after the pause began to publish")
		}
	}
	now, _ := s.status()
	if now.Paused == nil || now.Paused.Reason != reason || len(now.NotReady) == 0 {
		t.Errorf("status: paused %+v, not ready %q", now.Paused, now.NotReady)
	}
	if err := s.relay().recover(t.Context()); err == nil || !strings.Contains(err.Error(), "relay resume") {
		t.Errorf("recover while paused: %v, want that it names relay resume", err)
	}
	if again := s.pausing("pause", "--reason=another"); !strings.Contains(again, "already") || !strings.Contains(again, reason) {
		t.Errorf("a second pause said %q, want that there is one, and its reason", again)
	}

	if out := s.resume(); !strings.Contains(out, "Resumed") {
		t.Errorf("resume said %q", out)
	}
	s.published()
	if out := s.resume(); !strings.Contains(out, "not paused") {
		t.Errorf("resume said %q, of what was not paused", out)
	}
}

// A load is broken off, and begun again afterwards.
func TestPauseEndsALoad(t *testing.T) {
	t.Parallel()
	broker := newSwitchable(t)
	s := setupOn(t, testenv.Orders(t), broker.address)
	s.limits.softEvents = 1
	s.write(3000, 1)
	r, _ := s.start()
	s.wait("some of the table to be published", func() bool { return len(s.messages()) > 0 })
	broker.cut() // or the load could be faster than the pause
	s.pause()
	s.wait("the relay to be paused", func() bool { return role(r) == rolePaused })
	broker.restore()
	cp, _, err := checkpoint.Peek(t.Context(), s.kafka, checkpoint.Topic(s.config.Topic, s.config.Slot))
	if err != nil || cp.Phase != checkpoint.Loading {
		t.Fatalf("checkpoint %+v, %v: the load was not broken off", cp, err)
	}
	s.resume()
	s.published()
}

// What is at hand cannot be committed, and is given up.
func TestPauseWhileKafkaIsAway(t *testing.T) {
	t.Parallel()
	broker := newSwitchable(t)
	s := setupOn(t, testenv.Orders(t), broker.address)
	r, _ := s.start()
	s.write(1, 1)
	s.published()
	broker.cut()
	s.write(1, 1)
	s.pause()
	s.wait("the relay to be paused", func() bool { return role(r) == rolePaused })
	broker.restore()
	s.resume()
	s.published()
}
