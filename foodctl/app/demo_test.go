package app

import (
	"os"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// demo starts a trial that writes JSON, on the tests' Kafka where they have one.
func demo(t *testing.T, verb string, flags ...string) *process {
	t.Helper()
	if os.Getenv("BROKER") == "kafka" {
		flags = append(flags, "--brokers", testenv.Broker(t))
	}
	return foodctl(t, append([]string{"demo", verb, "--json"}, flags...)...)
}

// holds waits for the audit, whose verdict is to be that it holds, and for exit code 0.
func (p *process) holds() {
	p.t.Helper()
	if got := p.verdict(); got != audit.Holds {
		p.t.Errorf("verdict %s, want %s", got, audit.Holds)
	}
	if code := p.exit(); code != 0 {
		p.t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

func TestDemoKillHolds(t *testing.T) {
	t.Parallel()
	p := foodctl(t, "demo", "kill", "--json", "--times=6", "--every=300ms", "--all", "--rate=200")
	p.until("the kills", func(l line) bool { return l.Kills != nil })
	if got := p.verdict(); got != audit.Holds {
		t.Errorf("verdict %s, want %s", got, audit.Holds)
	}
	// Whether so few kills are felt is chance.
	if code := p.exit(); code != 0 && !strings.Contains(p.stderr.String(), "no kill was felt") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

func TestDemoPauseMakesAnotherRelayTakeOverTheOnes(t *testing.T) {
	t.Parallel()
	p := demo(t, "pause", "--times=1", "--every=100ms", "--for=15s") // Postgres may be slow to give up
	if got := p.until("the pauses", func(l line) bool { return l.Pauses > 0 }); got.Takeovers != 1 {
		t.Errorf("%d takeovers, want 1", got.Takeovers)
	}
	p.holds()
}

func TestDemoPauseThatNobodyFeelsFailsTheOnes(t *testing.T) {
	t.Parallel()
	p := demo(t, "pause", "--times=1", "--every=100ms", "--for=50ms")
	if got := p.verdict(); got != audit.Holds {
		t.Errorf("verdict %s, want %s", got, audit.Holds)
	}
	left := p.until("what is left", func(l line) bool { return strings.HasPrefix(l.Notice, "left to look at: ") }).Notice
	dir, _, _ := strings.Cut(strings.TrimPrefix(left, "left to look at: "), ";")
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("what a failed trial leaves to look at: %v", err)
	}
	if code := p.exit(); code != 1 || !strings.Contains(p.stderr.String(), "no pause was felt") {
		t.Errorf("exit code %d, %q: want 1, and why", code, p.stderr.String())
	}
}

func TestDemoPartitionLetsEventsWaitTheOnes(t *testing.T) {
	t.Parallel()
	p := demo(t, "partition", "--times=1", "--every=100ms", "--for=12s") // time for two readings, however slow
	if got := p.until("the cuts", func(l line) bool { return l.Cuts > 0 }); got.Stood != 1 || got.Pending == 0 {
		t.Errorf("publishing stood still in %d cuts, with %d events waiting: want 1, and some", got.Stood, got.Pending)
	}
	p.holds()
}

func TestDemoNaiveIsFoundOutTheOnes(t *testing.T) {
	t.Parallel()
	p := demo(t, "naive", "--every=200ms")
	report := p.until("the audit", func(l line) bool { return l.Verdict != "" })
	if report.Verdict != audit.Violated || report.Counts.Duplicates == 0 {
		t.Errorf("verdict %s, %d duplicates: want %s, and some", report.Verdict, report.Counts.Duplicates, audit.Violated)
	}
	if code := p.exit(); code != 1 {
		t.Errorf("exit code %d, want 1: %s", code, p.stderr.String())
	}
}

func TestTrialsSayWhatToGiveThem(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"give 2":                        {"pause", "--relays=1"},
		"--every and --for above 0":     {"pause", "--for=0s"},
		"--for at least 3s":             {"partition", "--for=2s"},
		"or 2 for one that stands by":   {"partition", "--relays=3"},
		"--times must be at least 1":    {"naive", "--times=0"},
		"give 0, for as fast as it can": {"kill", "--rate=-1"},
	} {
		err := run(t.Context(), append([]string{"demo"}, args...), t.Output(), t.Output())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("demo %q: %v; want %q", args, err, want)
		}
	}
}

// A trial that could have gone wrong and did not, because nothing happened, has proved nothing.
func TestATrialInWhichNothingWasFeltFails(t *testing.T) {
	t.Parallel()
	fine := audit.Report{Verdict: audit.Holds}
	for name, o := range map[string]ordeal{"kill": &killer{}, "pause": &pauser{}, "partition": &cutter{}} {
		if err := o.judge(fine); exitCodeOf(err) != 1 || !strings.Contains(err.Error(), "was felt") {
			t.Errorf("%s: %v, want exit code 1 and that nothing was felt", name, err)
		}
	}
	if err := (&naiveKiller{}).judge(fine); exitCodeOf(err) != 2 || !strings.Contains(err.Error(), "no duplicate arose") {
		t.Errorf("naive: %v, want exit code 2 and that no duplicate arose", err)
	}
	felt := &killer{felt: true}
	if err := felt.judge(fine); err != nil {
		t.Errorf("kill that was felt: %v", err)
	}
	if err := felt.judge(audit.Report{Verdict: audit.Violated}); exitCodeOf(err) != 1 {
		t.Errorf("kill that violated: %v, want exit code 1", err)
	}
}

// exitCodeOf is the code of an error that has one, else -1.
func exitCodeOf(err error) int {
	if exit, is := err.(*ops.ExitError); is { //nolint:errorlint // judge wraps none
		return exit.Code
	}
	return -1
}

func TestWhatWasPassedOverIsSaidOnlyOfAPublisherThatIsDone(t *testing.T) {
	t.Parallel()
	counts := audit.Counts{Missing: 1, Pending: 2}
	if got := (&naiveKiller{done: true}).passedOver(counts); got != 3 {
		t.Errorf("%d passed over by one that is done, want 3", got)
	}
	if got := (&naiveKiller{}).passedOver(counts); got != 1 {
		t.Errorf("%d passed over by one that is not, want 1", got)
	}
	if text := lesson(5, 3); !strings.Contains(text, "5 records repeat") || !strings.Contains(text, "3 events were never published") {
		t.Errorf("the lesson lacks a count: %s", text)
	}
	if text := lesson(5, 0); strings.Contains(text, "never published") {
		t.Errorf("the lesson tells of lost events where there are none: %s", text)
	}
}
