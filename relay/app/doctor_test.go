package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/doctor"
)

// TestDoctorSeesWhatAStartWouldRefuse_I7 does each harm, asks, and then starts a relay: the two agree, and the question was
// no step of an answer.
func TestDoctorSeesWhatAStartWouldRefuse_I7(t *testing.T) {
	t.Parallel()
	for _, h := range harms {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			_, stop := s.start()
			s.published()
			s.write(20, 2)
			s.published()
			if f := s.relay().history(t.Context()); f.Verdict != doctor.OK || !strings.Contains(f.Found,
				"a relay is active") {
				t.Errorf("beside a relay: got %+v", f)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if f := s.relay().history(t.Context()); f.Verdict != doctor.OK || !strings.Contains(f.Found, "open: ") {
				t.Errorf("before: got %+v", f)
			}
			h.do(s)
			f := s.relay().history(t.Context())
			if f.Check != "gate "+string(h.gate) || f.Verdict != doctor.Wrong || f.ExitCode != exitRefused || len(f.Remedy) != 1 {
				t.Errorf("got %+v, want gate %s", f, h.gate)
			}
			s.refused(s.relay().supervise(t.Context(), t.Context()), h.gate)
			if !h.recovers {
				return
			}
			if !strings.Contains(f.Remedy[0], "relay recover --reason") {
				t.Errorf("got %q", f.Remedy)
			}
			s.config.Reason = "test: " + h.name
			if err := s.relay().recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.published()
			if f := s.relay().history(t.Context()); f.Verdict != doctor.OK {
				t.Errorf("when it is recovered: got %+v", f)
			}
		})
	}
}

// TestDoctorDisturbsNoRelay_I6 asks again and again while a relay publishes, which must not have to begin anew.
func TestDoctorDisturbsNoRelay_I6(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r, stop := s.start()
	s.write(1, 1)
	s.published()
	for range 3 {
		s.write(20, 2)
		report := s.examined(nil)
		for _, f := range report.Findings {
			if f.Verdict == doctor.Wrong || f.Verdict == doctor.Unknown {
				t.Errorf("beside a healthy relay: %+v", f)
			}
		}
		if f, _ := report.Find(doctor.Postgres, "slot"); !strings.Contains(f.Found,
			"active: pid") || !strings.Contains(f.Found, "relay from 127.0.0.1") {
			t.Errorf("got %+v, want who holds the slot", f)
		}
		if f, _ := report.Find(doctor.Kafka, "checkpoint topic"); !strings.Contains(f.Found, "compacted, 1 partition") {
			t.Errorf("got %+v", f)
		}
	}
	s.published()
	if n, _ := exported(t, r, "relay_sessions_total"); n != 1 {
		t.Errorf("the relay began %v sessions, want 1", n)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// examined runs the command, and wants it to end as its report says.
func (s *system) examined(want error) (report doctor.Report) {
	s.t.Helper()
	var out bytes.Buffer
	err := s.relay().examine(s.t.Context(), &out, true)
	var exit, wanted *ops.ExitError
	if errors.As(want, &wanted) != errors.As(err, &exit) || wanted != nil && *wanted != *exit {
		s.t.Errorf("ended with %v, want %v:\n%s", err, want, out.String())
	}
	var printed struct {
		doctor.Report
		ExitCode int `json:"exit_code"`
	}
	if err := json.Unmarshal(out.Bytes(), &printed); err != nil {
		s.t.Fatalf("%v: %s", err, out.String())
	}
	if exit != nil && printed.ExitCode != exit.Code {
		s.t.Errorf("printed exit code %d, ended with %d", printed.ExitCode, exit.Code)
	}
	return printed.Report
}

func TestDoctorEndsWithWhatARelayWouldEndWith(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.examined(nil)
	s.exec("DROP PUBLICATION outbox")
	s.examined(&ops.ExitError{Code: exitUnusable})
	var exit *ops.ExitError
	if err := exitCode(s.relay().supervise(t.Context(), t.Context())); !errors.As(err,
		&exit) || exit.Code != exitUnusable {
		t.Errorf("a relay ends with %v", err)
	}
	s.exec("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", s.config.Slot)
	s.examined(&ops.ExitError{Code: exitRefused}) // the worse of the two
	s.exec("SELECT pg_drop_replication_slot($1)", s.config.Slot)
	s.exec("CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert')")
	right := s.config.Brokers
	s.config.Brokers = []string{"127.0.0.1:1"}
	s.examined(&ops.ExitError{Code: 1})
	s.config.Brokers = right
	s.examined(nil)
}

func TestDoctorIsReadable(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.exec("DROP PUBLICATION outbox")
	var out bytes.Buffer
	if err := s.relay().examine(t.Context(), &out, false); ops.Exit(err, &out) != exitUnusable {
		t.Errorf("got %v", err)
	}
	lines := strings.Split(out.String(), "\n")
	at := slices.Index(lines, "  WRONG    publication: there is no publication outbox")
	if at < 0 || lines[at+1] != `             CREATE PUBLICATION "outbox" FOR TABLE "public"."outbox" WITH (publish = 'insert');` {
		t.Errorf("got\n%s", out.String())
	}
	if lines[0] != doctor.Postgres || strings.Contains(out.String(), "error:") {
		t.Errorf("got\n%s", out.String())
	}
}

// A load that broke off, or has not been, is no history to refuse.
func TestDoctorOfANewSourceHasNothingToRefuse(t *testing.T) {
	t.Parallel()
	s := setupOn(t, testenv.Orders(t), testenv.Broker(t))
	if f := s.relay().history(t.Context()); f.Verdict != doctor.OK || !strings.Contains(f.Found,
		"the first start publishes") {
		t.Errorf("got %+v", f)
	}
	if _, there, err := checkpoint.Peek(t.Context(), s.kafka,
		checkpoint.Topic(s.config.Topic, s.config.Slot)); there || err != nil {
		t.Errorf("a look left a checkpoint: %v, %v", there, err)
	}
}

// TestDoctorAndStatusAreCommands goes through the command line.
func TestDoctorAndStatusAreCommands(t *testing.T) {
	t.Parallel()
	s := setup(t)
	flags := []string{
		"--database-url=" + s.config.DatabaseURL, "--brokers=" + strings.Join(s.config.Brokers, ","), "--topic=" + s.config.Topic,
		"--slot=" + s.config.Slot, "--json", "--log-level=error",
	}
	var out, log bytes.Buffer
	if err := run(t.Context(), append([]string{"doctor"}, flags...), &out, &log); err != nil || !json.Valid(out.Bytes()) || log.Len() > 0 {
		t.Errorf("doctor: %v: %s%s", err, out.String(), log.String())
	}
	out.Reset()
	err := run(t.Context(), append([]string{"status", "--relay=127.0.0.1:1"}, flags...), &out, &log)
	if ops.Exit(err, &log) != 1 || !json.Valid(out.Bytes()) || log.Len() > 0 {
		t.Errorf("status: %v: %s%s", err, out.String(), log.String())
	}
	if err := run(t.Context(), []string{"doctor", "--brokers=b", "--database-url=nonsense"}, &out, &log); ops.Exit(err, &log) != 2 {
		t.Errorf("without a usable URL: %v", err)
	}
}
