// Package doctor asks Postgres and Kafka whether a relay can run on them and keep its promise, and names what mends each
// thing that is wrong.
//
// It promises to change nothing: it takes no slot, fences no producer and writes no record, so it can be run beside a
// relay. (A new Kafka cluster makes its log of transactions when it is first asked about one.) Every check answers, whatever
// else is wrong, unless what it asks cannot be reached at all. It does not promise that a relay starts where all is well,
// nor for how long: what it finds is true of the moment.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// Verdict says what a finding means for the relay.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // the relay runs; something is slower, or less safe, than it could be
	Wrong   Verdict = "wrong"   // the relay does not run, or publishes nothing
	Unknown Verdict = "unknown" // it could not be asked; Found says why
)

// The systems that are examined.
const (
	Postgres = "postgres"
	Kafka    = "kafka"
	Registry = "schema registry"
	History  = "history" // of both, against the checkpoint
)

// Exit codes of a report, beside 0.
const (
	ExitUnknown  = 1 // something could not be asked
	ExitRefused  = 3 // relay run refuses at a gate
	ExitUnusable = 4 // something must be changed before anything can be published
)

// Finding is the answer of one check.
type Finding struct {
	System   string   `json:"system"`
	Check    string   `json:"check"`
	Verdict  Verdict  `json:"verdict"`
	Found    string   `json:"found"`
	Remedy   []string `json:"remedy,omitempty"` // steps: SQL, which ends in a semicolon, a command, a variable, a sentence
	ExitCode int      `json:"exit_code"`        // what this finding alone makes the program end with
}

// Report is what was found, in the order of the checks.
type Report struct {
	Findings []Finding `json:"findings"`
}

// ExitCode is that of the worst finding: a gate that is closed, then what makes a relay unusable, then what could not be
// asked.
func (r Report) ExitCode() int {
	worst := 0
	for _, code := range []int{ExitUnknown, ExitUnusable, ExitRefused} {
		for _, f := range r.Findings {
			if f.ExitCode == code {
				worst = code
			}
		}
	}
	return worst
}

// Config says what to examine. It is what a relay would run with.
type Config struct {
	DatabaseURL    string // with the password
	Brokers        []string
	Security       kafka.Security
	Layout         *layout.Layout
	Topics         []string // that events are in; none if that depends on the rows, and none was published yet
	Name           string   // what the checkpoint is called after: the topic, where there is but one
	Slot           string
	MaxRetainedWAL int64 // bytes
	Log            *slog.Logger
}

func (c Config) checkpointTopic() string { return checkpoint.Topic(c.Name, c.Slot) }

// transactionalID is the one that a relay with this configuration takes over.
func (c Config) transactionalID() string { return "relay." + c.Name + "." + c.Slot }

// patience bounds each of the two examinations.
const patience = 30 * time.Second

// Examine makes all checks but those of Registry and History, which take a relay's own eyes.
func Examine(ctx context.Context, c Config) Report {
	var r Report
	within, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no answer for too long"))
	bound := examinePostgres(within, c, postgresChecks, &r)
	cancel()
	within, cancel = context.WithTimeoutCause(ctx, patience, errors.New("no answer for too long"))
	examineKafka(within, c, bound, kafkaChecks, &r)
	cancel()
	return r
}

// check is a question and what it is called in the report.
type check[T any] struct {
	name string
	ask  func(T, context.Context) Finding
}

// ask makes the checks of a system.
func ask[T any](ctx context.Context, r *Report, system string, of T, checks []check[T]) {
	for _, c := range checks {
		f := c.ask(of, ctx)
		f.System, f.Check = system, c.name
		r.Findings = append(r.Findings, f)
	}
}

func ok(format string, args ...any) Finding {
	return Finding{Verdict: OK, Found: fmt.Sprintf(format, args...)}
}

func warning(found string, remedy ...string) Finding {
	return Finding{Verdict: Warning, Found: found, Remedy: remedy}
}

func unusable(found string, remedy ...string) Finding {
	return Finding{Verdict: Wrong, Found: found, Remedy: remedy, ExitCode: ExitUnusable}
}

func refused(found string, remedy ...string) Finding {
	return Finding{Verdict: Wrong, Found: found, Remedy: remedy, ExitCode: ExitRefused}
}

func unknown(err error, remedy ...string) Finding {
	return Finding{Verdict: Unknown, Found: err.Error(), Remedy: remedy, ExitCode: ExitUnknown}
}

// bytes prints a size as Postgres takes it in a setting, rounded up to whole units.
func bytes(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%dGB", (n+1<<30-1)>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%dMB", (n+1<<20-1)>>20)
	}
	return fmt.Sprintf("%dkB", (n+1<<10-1)>>10)
}
