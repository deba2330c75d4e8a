package e2e

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// entry is a line of a log.
type entry struct {
	Time     time.Time `json:"time"`
	Level    string    `json:"level"`
	Msg      string    `json:"msg"`
	Program  string    `json:"program"`
	Instance string    `json:"instance"`

	Err      string `json:"err"`
	ExitCode int    `json:"exit_code"`

	Order     uuid.UUID `json:"order_id"`
	Event     uuid.UUID `json:"event_id"`
	Version   int64     `json:"version"`
	Type      string    `json:"event_type"`
	Partition int       `json:"partition"`
	Offset    int64     `json:"offset"`
	LSN       string    `json:"lsn"`
}

// collected makes the programs log as they do in a container: no terminal, and no format asked for.
var collected = []string{"LOG_FORMAT=auto", "LOG_LEVEL=debug"}

// entries are all lines of the log, each of which must be an object with what every line has.
func (g *program) entries() (all []entry) {
	g.Helper()
	for _, line := range g.lines("") {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			g.Fatalf("%s: %v: %s", g.name, err, line)
		}
		if e.Time.IsZero() || e.Level == "" || e.Msg == "" || e.Program != g.name || e.Instance == "" {
			g.Errorf("%s: time, level, msg, program or instance is missing or wrong: %s", g.name, line)
		}
		all = append(all, e)
	}
	return all
}

// told are the entries about events, by order, in the order of the log.
func (g *program) told(msg string) map[uuid.UUID][]entry {
	g.Helper()
	orders := make(map[uuid.UUID][]entry)
	for _, e := range g.entries() {
		if e.Msg == msg {
			orders[e.Order] = append(orders[e.Order], e)
		}
	}
	return orders
}

// fact is what every program tells of an event.
type fact struct {
	event   uuid.UUID
	version int64
	kind    string
}

func facts(told []entry) (all []fact) {
	for _, e := range told {
		all = append(all, fact{e.Event, e.Version, e.Type})
	}
	return all
}

func TestAnOrderIsFollowedByItsIDThroughTheLogsOfAllPrograms(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.Broker(t))
	relay, projector := p.relay("relay", collected...), p.projector("projector", collected...)
	// What is in the table before there is a slot is loaded from there, and nobody knows its place in the log.
	p.until("the relay publishes", relay.ready)
	orders := p.orderservice(append([]string{"GENERATE=true", "RATE=50", "ORDERS=40"}, collected...)...)
	p.until("all orders are finished", func() bool { return orders.metric("generator_done") == 1 })
	p.until("all is applied", func() bool { return p.applied() == p.written() })
	for _, g := range []*program{orders, projector, relay} {
		g.stop()
		if all := g.entries(); all[0].Msg != "started" || all[len(all)-1].Msg != "stopped" {
			t.Errorf("%s: the log goes from %q to %q, want from started to stopped", g.name, all[0].Msg, all[len(all)-1].Msg)
		}
	}
	accepted, published, applied := orders.told("event accepted"), relay.told("event published"), projector.told("event applied")
	if len(accepted) != 40 || len(published) != 40 || len(applied) != 40 {
		t.Fatalf("told of %d orders accepted, %d published, %d applied; want 40", len(accepted), len(published), len(applied))
	}
	var events int64
	for id, told := range accepted {
		want := facts(told)
		events += int64(len(want))
		for i, f := range want {
			if f.version != int64(i)+1 || f.event == uuid.Nil || f.kind == "" {
				t.Fatalf("order %s: got event %d as %+v, want version %d", id, i, f, i+1)
			}
		}
		if got := facts(published[id]); !slices.Equal(got, want) {
			t.Fatalf("order %s: the relay told\n%v\nwant\n%v", id, got, want)
		}
		if got := facts(applied[id]); !slices.Equal(got, want) {
			t.Fatalf("order %s: the projector told\n%v\nwant\n%v", id, got, want)
		}
		for i, e := range applied[id] {
			if r := published[id][i]; r.Partition != e.Partition || r.Offset != e.Offset || r.LSN == "" {
				t.Errorf("order %s v%d: published to %d@%d out of %q, read from %d@%d", id, e.Version, r.Partition, r.Offset, r.LSN, e.Partition, e.Offset)
			}
		}
	}
	if written := p.written(); events != written || events < 200 {
		t.Errorf("the logs tell of %d events, the outbox has %d; want the same, and at least 200", events, written)
	}
	p.keepSecret()
}

// keepSecret checks that no log has a password or a payload in it.
func (p *pipeline) keepSecret() {
	p.Helper()
	secrets := []string{"customer_id", "unit_price", "minor"}
	for _, database := range []string{p.ordersURL, p.readModelURL} {
		u, err := url.Parse(database)
		if err != nil {
			p.Fatal(err)
		}
		if password, has := u.User.Password(); has {
			secrets = append(secrets, ":"+password+"@")
		}
	}
	for _, g := range p.programs {
		if leaks := g.lines(secrets...); len(leaks) > 0 {
			p.Errorf("%s shows a payload or a password: %s", g.name, leaks[0])
		}
		if !slices.ContainsFunc(g.lines(`"msg":"started"`), func(line string) bool { return strings.Contains(line, `"database":"postgres`) }) {
			p.Errorf("%s does not say which database it has", g.name)
		}
	}
}

// Each program is given a reason to end by itself.
func TestTheErrorThatEndsAProgramIsALineOfItsLog(t *testing.T) {
	t.Parallel()
	empty := testenv.Empty(t)
	for built, c := range map[string]struct {
		listen string
		env    string
		code   int
		want   string
	}{
		"orderservice": {"ORDERSERVICE_LISTEN", "ORDERS_DATABASE_URL=" + empty, 1, "foodctl migrate"},
		"relay":        {"RELAY_LISTEN", "TOPIC=" + testenv.Name(t), 4, "does not exist"},
		"projector":    {"PROJECTOR_LISTEN", "READMODEL_DATABASE_URL=" + empty, 1, "foodctl migrate"},
	} {
		t.Run(built, func(t *testing.T) {
			t.Parallel()
			p := setup(t, testenv.Broker(t))
			g := p.program(built, built, c.listen, []string{"run"}, append(slices.Clone(collected), c.env)...)
			g.start().wanted = false
			<-g.process.Done()
			code := exitCode(g.process.Wait())
			all := g.entries()
			last := all[len(all)-1]
			if code != c.code || last.ExitCode != code || last.Level != "ERROR" || last.Msg != "ended with an error" || !strings.Contains(last.Err, c.want) {
				t.Errorf("got exit code %d and %+v, want %d and an error with %q", code, last, c.code, c.want)
			}
		})
	}
}
