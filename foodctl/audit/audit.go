package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	schema "github.com/adamkwhite/kafkafoodpipeline/sql"
)

// Config says what to audit.
type Config struct {
	OrdersURL    string   // the orders database
	ReadModelURL string   // the read model's database; empty: the read model is not audited
	Brokers      []string // seed addresses of the Kafka cluster
	Security     kafka.Security
	Topic        string        // the events' topic; its checkpoint topic is <topic>.checkpoint.<slot>
	Slot         string        // the relay's replication slot; empty: neither slot nor checkpoint is audited
	Timeout      time.Duration // how long to wait for the pipeline to reach the cut; 0: 30 s. Longer only delays "undecided"
	Offenders    int           // how many findings to list; 0: 20
	Log          *slog.Logger  // progress, at debug level; nil: none
}

func (c Config) checkpointTopic() string { return c.Topic + ".checkpoint." + c.Slot }

// Run audits the pipeline, which may be at work meanwhile. The verdict is in the report: that the pipeline broke its
// promise, or that it could not be judged, is no error. An error is returned only if ctx ended before there was a verdict.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Offenders == 0 {
		cfg.Offenders = 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	begun := time.Now()
	a := &audit{
		cfg: cfg, list: newFindings(cfg.Offenders),
		report: Report{Undecided: []string{}, Notes: []string{}, Topic: Topic{Name: cfg.Topic}, Orders: Table{Name: "orders"}, Customers: Table{Name: "customers"}},
	}
	err := a.run(ctx)
	if ctx.Err() != nil {
		return a.report, fmt.Errorf("audit: %w", context.Cause(ctx))
	}
	if err != nil {
		a.undecided("%v", err)
	}
	a.report.Findings, a.report.Offenders = a.list.total, a.list.offenders()
	a.report.Verdict = a.verdict()
	a.report.Took = time.Since(begun)
	return a.report, nil
}

// audit is one audit at work.
type audit struct {
	cfg      Config
	deadline time.Time // for waiting: Config.Timeout after the cut, whose reading takes as long as it takes
	report   Report
	list     *findings

	source *pgx.Conn
	events *events
	topic  *reader
	judge  *judge
}

func (a *audit) verdict() Verdict {
	switch {
	case a.list.total > 0:
		return Violated
	case len(a.report.Undecided) > 0:
		return Undecided
	default:
		return Holds
	}
}

func (a *audit) undecided(format string, args ...any) {
	a.report.Undecided = append(a.report.Undecided, fmt.Sprintf(format, args...))
}

func (a *audit) note(format string, args ...any) {
	a.report.Notes = append(a.report.Notes, fmt.Sprintf(format, args...))
}

// run takes the cut, then reads what must follow from it downstream, so that nothing that happens meanwhile can look
// like a fault. Its order matters: outbox, topic, read model, topic again up to what the read model may have seen,
// outbox again for what has been committed since.
func (a *audit) run(ctx context.Context) error {
	var err error
	if a.source, err = open(ctx, a.cfg.OrdersURL, schema.Orders); err != nil {
		return fmt.Errorf("orders database: %w", err)
	}
	defer a.source.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	if a.events, a.report.Source, err = cut(ctx, a.source); err != nil {
		return fmt.Errorf("read the outbox: %w", err)
	}
	a.deadline = time.Now().Add(a.cfg.Timeout)
	a.cfg.Log.DebugContext(ctx, "cut taken", "events", a.report.Source.Events, "lsn", a.report.Source.CutLSN)

	if err := a.openTopic(ctx); err != nil {
		return err
	}
	defer a.topic.close()
	if err := a.arrive(ctx); err != nil {
		return err
	}
	a.cfg.Log.DebugContext(ctx, "topic read", "records", a.report.Topic.Records)
	var at position
	if a.cfg.Slot != "" {
		if at, err = a.observe(ctx); err != nil {
			return err
		}
		a.judge.marks = at.marks
	}
	if err := a.downstream(ctx); err != nil {
		return err
	}
	if a.cfg.Slot != "" {
		a.judgeCheckpoint(at)
	}
	return a.conclude(ctx)
}

func open(ctx context.Context, url string, s schema.Schema) (*pgx.Conn, error) {
	conn, err := connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("%w: is it running, and is its URL right?", err)
	}
	if err := schema.Check(ctx, conn, s); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

func (a *audit) openTopic(ctx context.Context) error {
	waiting, cancel := a.patience(ctx)
	defer cancel()
	var err error
	a.topic, err = openTopic(waiting, a.cfg)
	switch {
	case errors.Is(err, errNoTopic):
		return fmt.Errorf("topic %s: %w: make it with foodctl topics, or name another with --topic", a.cfg.Topic, err)
	case err != nil:
		return fmt.Errorf("topic %s: %w: is Kafka running at %v?", a.cfg.Topic, err, a.cfg.Brokers)
	}
	for p, start := range a.topic.starts {
		if start > 0 {
			a.note("partition %d has lost its records below offset %d: the topic's retention must be unlimited", p, start)
		}
	}
	a.judge = newJudge(a.source, a.events, len(a.topic.starts), &a.report, a.list)
	return nil
}

// patience bounds an exchange with the broker by the time for waiting. When that is up there are still two seconds, for
// what is there to be read.
func (a *audit) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	until := a.deadline
	if least := time.Now().Add(2 * time.Second); until.Before(least) {
		until = least
	}
	return context.WithDeadline(ctx, until)
}

// arrive reads the topic until it has shown every event of the cut, or the relay is known to have passed the cut, or the
// time is up.
func (a *audit) arrive(ctx context.Context) error {
	for {
		// First whether the relay is past the cut, then where the topic ends: in this order everything that the relay has
		// acknowledged is below that end, and what is not there is missing.
		passed, err := a.passed(ctx)
		if err != nil {
			return err
		}
		if err := a.readOn(ctx); err != nil {
			return err
		}
		late := !time.Now().Before(a.deadline)
		if a.judge.arrived == a.judge.cut {
			return nil
		}
		if passed {
			a.report.Counts.Missing, err = a.judge.missing(ctx)
			return err
		}
		if late {
			a.report.Counts.Pending = int64(a.judge.cut - a.judge.arrived)
			a.undecided("%d events of the cut are not in the topic yet, and the relay has not acknowledged them: "+
				"is it running? It says why not at /readyz?verbose. Wait longer with --timeout", a.report.Counts.Pending)
			return nil
		}
		if err := ops.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// passed reports whether the relay has published all that was committed below the cut's position.
func (a *audit) passed(ctx context.Context) (bool, error) {
	if a.cfg.Slot == "" {
		return false, nil
	}
	if past, err := confirmed(ctx, a.source, a.cfg.Slot, a.report.Source.CutLSN); err != nil || !past {
		return false, err
	}
	busy, err := loading(ctx, a.topic.client, a.cfg)
	return !busy, err
}

// readOn reads the topic to where it ends now. When an open transaction holds it back for too long, that is noted as
// undecided.
func (a *audit) readOn(ctx context.Context) error {
	ends, err := a.topic.ends(ctx)
	if err != nil {
		return fmt.Errorf("end of topic %s: %w", a.cfg.Topic, err)
	}
	waiting, cancel := a.patience(ctx)
	defer cancel()
	err = a.topic.readTo(waiting, ends, a.judge.records)
	for p, end := range a.topic.next {
		a.report.Topic.Partitions[p].End = end
	}
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		a.undecided("the topic could not be read to its end, %s: an open transaction holds readers back; "+
			"a relay that starts ends it, else the broker does after the transaction timeout", a.topic.behind(ends))
		return nil
	}
	if err != nil {
		return fmt.Errorf("topic %s: %w", a.cfg.Topic, err)
	}
	return nil
}

// conclude gives the last word on what needs the youngest snapshot, and on what can be said only when all has been read.
func (a *audit) conclude(ctx context.Context) error {
	if err := a.judge.pardon(ctx); err != nil {
		return err
	}
	if a.judge.arrived == a.judge.cut {
		if unclear := a.judge.incomplete(); unclear > 0 {
			a.note("%d source transactions are not whole under their commit position, and %d events were loaded out of the "+
				"table: their rest may be among those", unclear, a.judge.torn.loaded)
		}
	}
	return a.judge.explain(ctx)
}
