package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// readModel is a fresh read model of a stage's topic. It is looked at through a connection of its own.
type readModel struct {
	stage *stage
	name  string // of its database
	group string // of its projectors
	conn  *pgx.Conn
}

// readModel makes an empty read model. The caller must drop it.
func (st *stage) readModel(ctx context.Context) (*readModel, error) {
	st.models++
	m := &readModel{
		stage: st, name: st.names.ReadModelDB + "_" + strconv.Itoa(st.models),
		group: st.names.Group + "-" + strconv.Itoa(st.models),
	}
	if err := st.createDatabase(ctx, m.name, sql.ReadModel); err != nil {
		return nil, err
	}
	st.made.groups = append(st.made.groups, m.group)
	if st.models == 1 {
		if err := st.ensureLogin(ctx, st.login); err != nil { // whose group the schema has made
			return nil, err
		}
	}
	var err error
	if m.conn, err = pgx.Connect(ctx, st.urlOf(m.name)); err != nil {
		return nil, err
	}
	return m, nil
}

// settle writes to the disk what is left to write, so that it is not written while something is measured.
func (m *readModel) settle(ctx context.Context) error {
	_, err := m.conn.Exec(ctx, "CHECKPOINT")
	return err
}

// drop removes the read model. Its projectors must be gone.
func (m *readModel) drop(ctx context.Context) error {
	return errors.Join(m.conn.Close(ctx), m.stage.administer(ctx, func(conn *pgx.Conn) error { return dropDatabase(ctx, conn, m.name) }))
}

// applied is how many events the read model says it reflects.
func (m *readModel) applied(ctx context.Context) (n int64, err error) {
	err = m.conn.QueryRow(ctx, `SELECT coalesce(sum(applied_events), 0)::bigint FROM projection_offsets`).Scan(&n)
	if err != nil {
		err = fmt.Errorf("offsets of the read model: %w", err)
	}
	return n, err
}

// claims are the rows of projection_offsets: how far each partition is applied, and who owns it.
type claims [topic.Partitions]struct {
	next  int64
	owner string
}

func (m *readModel) claims(ctx context.Context) (claims, error) { return readClaims(ctx, m.conn) }

func readClaims(ctx context.Context, conn *pgx.Conn) (c claims, err error) {
	rows, _ := conn.Query(ctx, `SELECT part, next_offset, owner FROM projection_offsets`) //nolint:rowserrcheck // ForEachRow checks it
	var (
		part  int
		next  int64
		owner string
	)
	_, err = pgx.ForEachRow(rows, []any{&part, &next, &owner}, func() error {
		if part < 0 || part >= len(c) {
			return fmt.Errorf("there is no partition %d", part)
		}
		c[part].next, c[part].owner = next, owner
		return nil
	})
	if err != nil {
		err = fmt.Errorf("offsets of the read model: %w", err)
	}
	return c, err
}

// projector is a projector of the trial, as a process that can be started again and again.
type projector struct{ program }

// projector names a projector of a read model without starting it. It reaches Postgres at an address, "" for the server
// itself.
func (m *readModel) projector(name, postgres string, env ...string) (*projector, error) {
	st := m.stage
	p, err := st.program(name, st.Projector, "PROJECTOR_LISTEN", append(env,
		"READMODEL_DATABASE_URL="+st.urlAs(st.login, m.name, postgres), "KAFKA_BROKERS="+st.Brokers, "TOPIC="+st.names.Topic,
		"PROJECTOR_GROUP="+m.group)...)
	return &projector{p}, err
}

// running calls do while the projector runs.
func (p *projector) running(ctx context.Context, do func() error) (err error) {
	if err := p.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(context.WithoutCancel(ctx))) }()
	return do()
}

// peakRSS is the most memory that the newest process has had, in bytes; nil where that cannot be known.
func (p *projector) peakRSS() *int64 {
	if rss := supervise.Of(p.process.PID()).MaxRSS; rss > 0 {
		return &rss
	}
	return nil
}

// owns are the partitions that the newest process has claimed. An owner is named host/pid/member.
func (p *projector) owns(c claims) (parts []int32) {
	pid := fmt.Sprintf("/%d/", p.process.PID())
	for part, claim := range c {
		if strings.Contains(claim.owner, pid) {
			parts = append(parts, int32(part))
		}
	}
	return parts
}

// ownsAll waits until the newest process has claimed all partitions.
func (p *projector) ownsAll(ctx context.Context, m *readModel) error {
	return p.awaitClaims(ctx, m, func(parts int) bool { return parts == topic.Partitions })
}

// ownsAny waits until the newest process has claimed a partition.
func (p *projector) ownsAny(ctx context.Context, m *readModel) error {
	return p.awaitClaims(ctx, m, func(parts int) bool { return parts > 0 })
}

func (p *projector) awaitClaims(ctx context.Context, m *readModel, enough func(parts int) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s has not claimed its partitions within %s", p.name, patience))
	defer cancel()
	return p.until(ctx, pollClaimed, func(ctx context.Context) (bool, error) {
		c, err := m.claims(ctx)
		return enough(len(p.owns(c))), err
	})
}

// The times between two looks at what is claimed, and how much is applied.
const (
	pollClaimed = 2 * time.Millisecond
	pollApplied = 20 * time.Millisecond
)

// caughtUp waits until so many events are applied. It is an error if nothing moves for long.
func (p *projector) caughtUp(ctx context.Context, m *readModel, events int64) error {
	var last int64
	moved := time.Now()
	return p.until(ctx, pollApplied, func(ctx context.Context) (bool, error) {
		n, err := m.applied(ctx)
		if n != last {
			last, moved = n, time.Now()
		}
		if err == nil && time.Since(moved) > patience {
			err = fmt.Errorf("%s has applied %d of %d events, and nothing for %s", p.name, n, events, patience)
		}
		return n >= events, err
	})
}
