package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

func (s *system) dryRun() (said string, exit int) {
	s.t.Helper()
	var out, log bytes.Buffer
	err := run(s.t.Context(), []string{
		"recover", "--dry-run", "--database-url=" + s.config.DatabaseURL, "--brokers=" + strings.Join(s.config.Brokers, ","),
		"--topic=" + s.config.Topic, "--slot=" + s.config.Slot,
	}, &out, &log)
	exit = ops.Exit(err, &log)
	return out.String() + log.String(), exit
}

func TestDryRunSaysWhatRecoverWouldDo(t *testing.T) {
	t.Parallel()
	s := setup(t)
	says := func(exit int, want ...string) {
		t.Helper()
		said, got := s.dryRun()
		for _, w := range want {
			if !strings.Contains(said, w) || got != exit {
				t.Errorf("exit code %d, want %d, and %q in:\n%s", got, exit, w, said)
			}
		}
	}
	_, stop := s.start()
	s.write(5, 2)
	s.published()
	says(0, "refuse while slot "+s.config.Slot+" is in use", "publish 0 of the 10 events")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	before := s.checkpoint()
	s.write(3, 2)
	says(0, "make slot "+s.config.Slot+" anew", "publish 6 of the 16 events")
	s.exec("SELECT pg_drop_replication_slot($1)", s.config.Slot)
	says(0, "make slot "+s.config.Slot+"\n", "publish 6 of the 16 events")
	if after := s.checkpoint(); after.WrittenAt != before.WrittenAt || len(s.messages()) != 10 {
		t.Errorf("the dry run has written: checkpoint %+v, %d events", after, len(s.messages()))
	}
	s.config.Reason = "the slot is gone"
	if err := s.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.published()

	s.exec("DELETE FROM outbox WHERE seq = (SELECT min(seq) FROM outbox)")
	says(exitRefused, "the topic has 1 events that the outbox table does not have")
}
