package e2e

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// doomed is a hazard whose read model is in a server of its own.
type doomed struct {
	*hazard

	server *testenv.Cluster
}

func doom(t *testing.T) *doomed {
	t.Helper()
	server := testenv.NewCluster(t)
	return &doomed{hazard: endanger(t, danger{projectors: 2, readModel: server.ReadModel()}), server: server}
}

// TestPostgresKilledAtEveryStepOfABatch_I8 kills the read model's server while a projector is in a claim, before a batch's fence, behind
// it, with all rows written, inside COMMIT and behind it. When the server is back it must have nothing or all of the transaction, whatever
// the projector has heard of it: an offset that is not of its rows' transaction would leave a batch out, or apply it twice.
func TestPostgresKilledAtEveryStepOfABatch_I8(t *testing.T) {
	t.Parallel()
	d := doom(t)
	d.relay("relay")
	victim, other := d.far(0, "PROJECTOR_INSTANCE=1", staying), d.far(1, "PROJECTOR_INSTANCE=2", staying)
	traffic := d.traffic(40)
	d.until("both have a share", func() bool { return shared(topic.Partitions, victim, other) })
	d.flowing(100)
	at := func(point pgproxy.Point, what func(*pgproxy.Exchange) bool) func() (int32, []*pgproxy.Hold) {
		return func() (int32, []*pgproxy.Hold) {
			hold := d.held(d.proxies[0].Hold(point, what))
			return hold.PID(), []*pgproxy.Hold{hold}
		}
	}
	for _, step := range []struct {
		name  string
		reach func() (pid int32, held []*pgproxy.Hold)
		locks bool // the transaction is open, and has some partition's row
		moves bool // and it is committed when the server is back
	}{
		{"in a claim", func() (int32, []*pgproxy.Hold) {
			victim.kill()
			victim.start()
			return at(pgproxy.Answer, func(x *pgproxy.Exchange) bool { return x.Has("SET owner_epoch") })()
		}, true, false},
		{"before the fence", at(pgproxy.Request, begins), false, false},
		{"behind the fence", at(pgproxy.Request, writes), true, false},
		{"before COMMIT", at(pgproxy.Commit, writes), true, false},
		{"inside COMMIT", d.insideCommit, true, true},
		{"behind COMMIT", at(pgproxy.Answer, writes), false, false},
	} {
		pid, held := step.reach()
		locked, before := d.locked(pid), d.positions()
		d.server.Kill()
		after := d.back(held...)
		if (len(locked) > 0) != step.locks {
			t.Errorf("%s: the transaction has the partitions %v", step.name, locked)
		}
		for part, was := range before {
			moved := after[part] != was
			if locked[part] && moved != step.moves || after[part].next < was.next {
				t.Errorf("%s: partition %d was at %v and is at %v; the transaction had %v", step.name, part, was, after[part], locked)
			}
		}
		d.flowing(100)
	}
	d.holds(traffic, 500)
}

// insideCommit stops a server process in its COMMIT: it is written to the disk, and waits for a standby that does not exist, invisible
// to all others.
func (d *doomed) insideCommit() (pid int32, held []*pgproxy.Hold) {
	d.Helper()
	d.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	d.execute("SELECT pg_reload_conf()")
	const waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'projector'"
	d.until("a batch is in its COMMIT", func() bool {
		pid = int32(d.number(d.readModel, waiting)) //nolint:gosec // a process id
		return pid > 0
	})
	d.execute("ALTER SYSTEM RESET synchronous_standby_names") // for the next start
	return pid, nil
}

func (d *doomed) execute(statement string) {
	d.Helper()
	if _, err := d.readModel.Exec(d.Context(), statement); err != nil {
		d.Fatal(err)
	}
}

// TestARestoredReadModelCatchesUp_I8 puts an older backup in the place of the read model while its projectors run, who know nothing of it
// and still hold the claims that are in the backup. Its rows and its offsets are of one moment. A projector that went on from
// where it was would leave out what the backup lacks. One of them is about to begin a batch then, and the other has one of which it does
// not know whether it was committed.
func TestARestoredReadModelCatchesUp_I8(t *testing.T) {
	t.Parallel()
	d := doom(t)
	d.relay("relay")
	projectors := []*program{d.far(0, staying), d.far(1, staying)}
	traffic := d.traffic(40)
	d.until("both have a share", func() bool { return shared(topic.Partitions, projectors...) })
	d.flowing(100)
	d.server.Stop(pgserver.Fast)
	restore := d.server.Backup()
	d.server.Start()
	d.flowing(300)

	begun, lost := d.proxies[1].Hold(pgproxy.Request, begins), d.proxies[0].Hold(pgproxy.Answer, writes)
	d.held(begun)
	d.held(lost)
	newest, claims := d.positions(), d.claims()
	d.server.Stop(pgserver.Immediate)
	restore()
	for part, was := range d.back(begun, lost) {
		if now := newest[part]; was.next >= now.next || was.claim != now.claim {
			t.Errorf("partition %d: the backup is at %v, the projector at %v: want an older position of the same claim", part, was, now)
		}
	}
	d.until("each partition is claimed anew", func() bool { return d.claims() >= claims+topic.Partitions })
	d.flowing(100)
	if got := projectors[0].metric(projectorFenced) + projectors[1].metric(projectorFenced); got < topic.Partitions {
		t.Errorf("%v batches fenced, want one of each partition", got)
	}
	for _, g := range projectors { // a person would have to start it again
		for _, line := range g.lines("partition stopped") {
			t.Errorf("%s: %s", g.name, line)
		}
	}
	d.holds(traffic, 500)
}

// position is a partition's row as far as it moves.
type position struct {
	part  int32
	next  int64
	claim string
}

// positions are those of all partitions, by number.
func (d *doomed) positions() map[int32]position {
	d.Helper()
	all := make(map[int32]position)
	d.until("the read model's server answers", func() bool {
		rows, _ := d.readModel.Query(d.Context(), "SELECT part, next_offset, claim::text FROM projection_offsets")
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (at position, err error) {
			return at, row.Scan(&at.part, &at.next, &at.claim)
		})
		for _, at := range found {
			all[at.part] = at
		}
		return err == nil
	})
	return all
}

// locked are the partitions whose rows the transaction of a server process has changed.
func (d *doomed) locked(pid int32) map[int32]bool {
	d.Helper()
	const own = `SELECT part FROM projection_offsets
		WHERE xmax::text = (SELECT backend_xid::text FROM pg_stat_activity WHERE pid = $1)`
	rows, _ := d.readModel.Query(d.Context(), own, pid)
	parts, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		d.Fatal(err)
	}
	all := make(map[int32]bool)
	for _, part := range parts {
		all[part] = true
	}
	return all
}

// back starts the server, and returns the positions that it has before any projector is let in. What is held is lost.
func (d *doomed) back(held ...*pgproxy.Hold) map[int32]position {
	d.Helper()
	for _, proxy := range d.proxies {
		proxy.Refuse(true)
	}
	for _, hold := range held {
		hold.Cut()
	}
	d.server.Start()
	all := d.positions()
	for _, proxy := range d.proxies {
		proxy.Refuse(false)
	}
	return all
}
