package query

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// customers tells whose orders the events are of.
func customers(events []view.Event) map[uuid.UUID]int {
	all := make(map[uuid.UUID]int)
	for _, e := range events {
		if d, placed := e.Data.(event.OrderPlaced); placed {
			all[e.Order] = d.CustomerID
		}
	}
	return all
}

// of are those of the events that are a subject's, as text.
func of(events []view.Event, s subject) (all []string) {
	whose := customers(events)
	for _, e := range events {
		if e.Order == s.order || (s.order == uuid.Nil && whose[e.Order] == int(s.customer)) {
			all = append(all, fmt.Sprintf("%s v%d %s", e.Order, e.Version, e.Type))
		}
	}
	return all
}

func texts(changes []change) (all []string) {
	for _, c := range changes {
		all = append(all, fmt.Sprintf("%s v%d %s", c.Order, c.Version, c.Type))
	}
	return all
}

// inOrder fails unless versions of each order ascend by one.
func inOrder(t *testing.T, changes []change) {
	t.Helper()
	at := make(map[uuid.UUID]int64)
	for _, c := range changes {
		if c.Version != at[c.Order]+1 {
			t.Fatalf("%s v%d after v%d", c.Order, c.Version, at[c.Order])
		}
		at[c.Order] = c.Version
	}
}

// same fails unless the changes are those of the subject, each once, and of each order in its order.
func same(t *testing.T, changes []change, events []view.Event, s subject) {
	t.Helper()
	inOrder(t, changes)
	got, want := texts(changes), of(events, s)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("changes of %v (-got +want):\n%s", s, diff)
	}
}

func (s subject) path() string {
	if s.order != uuid.Nil {
		return "/v1/orders/" + s.order.String() + "/changes"
	}
	return fmt.Sprintf("/v1/customers/%d/changes", s.customer)
}

// restless follows a subject over one server after another, hanging up in between, until it has n changes.
func restless(r *rand.Rand, servers []string, s subject, id string, n int) (all []change, err error) {
	for len(all) < n {
		f, err := follow(servers[r.IntN(len(servers))]+s.path(), id)
		if err != nil {
			return all, err
		}
		for range 1 + r.IntN(40) {
			if len(all) == n {
				break
			}
			c, err := f.change()
			if err != nil {
				f.close()
				return all, err
			}
			all, id = append(all, c), f.id
		}
		f.close()
	}
	return all, nil
}

// While three partitions are written to and clients come and go between two servers, with the last id that they have got, each
// gets each change of its subject once, and those of an order in their order.
func TestNothingIsLostOverReconnections_I8(t *testing.T) {
	t.Parallel()
	s := setup(t)
	other := New(Config{
		Pool: s.reader.pool, Topic: testTopic, Logger: s.logger, Metrics: prometheus.NewRegistry(), InFlight: 64, Streams: 300, Heartbeat: 20 * time.Millisecond,
	})
	s.run(other)
	second := httptest.NewServer(other)
	t.Cleanup(second.Close)
	servers := []string{s.serve().URL, second.URL}
	begin := s.position()
	var events []view.Event
	histories := make([][]view.Event, 3)
	for part := range histories {
		histories[part] = history(int32(part), 8, 700)
		events = append(events, histories[part]...)
	}
	subjects := []subject{{customer: 1}, {customer: 2}, {customer: 3}, {customer: 1}}
	for _, e := range events {
		if e.Version == 4 && len(subjects) < 16 {
			subjects = append(subjects, subject{order: e.Order})
		}
	}
	var writers, readers sync.WaitGroup
	got, errs := make([][]change, len(subjects)), make([]error, len(subjects))
	for i, sub := range subjects {
		readers.Go(func() {
			got[i], errs[i] = restless(rand.New(rand.NewPCG(uint64(i), 1)), servers, sub, begin, len(of(events, sub)))
		})
	}
	for part, rest := range histories {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(part), 2))
			for len(rest) > 0 {
				n := min(len(rest), 1+r.IntN(12))
				s.apply(int32(part), rest[:n])
				rest = rest[n:]
			}
		})
	}
	writers.Wait()
	readers.Wait()
	for i, sub := range subjects {
		if errs[i] != nil {
			t.Fatalf("%v: %v", sub, errs[i])
		}
		same(t, got[i], events, sub)
	}
}

// An event that was a dead letter is a change when it is applied at last, although its offset lies behind.
func TestWhatIsRedrivenIsAChange(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := s.serve()
	events := history(0, 3, 90)
	spoilt := slices.IndexFunc(events, func(e view.Event) bool { return e.Version == 3 })
	id := events[spoilt].Order
	want := of(events, subject{order: id})
	f := s.follow(server.URL+subject{order: id}.path()+"?after="+url.QueryEscape(s.position()), "")
	good := events[spoilt]
	events[spoilt] = unreadable(good)
	s.apply(0, events)
	f.changes(t, 2)
	again := s.follow(server.URL+subject{order: id}.path(), f.id)
	_, err := view.New(s.pool, testTopic, 100).Redrive(t.Context(), id, func(_ view.Record, p view.Place) view.Event {
		for _, e := range append([]view.Event{good}, events...) {
			if e.Offset == p.Offset && e.Err == nil {
				return e
			}
		}
		return view.Event{Err: errors.New("no such event")}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*follower{f, again} {
		if got := texts(f.changes(t, len(want)-2)); !slices.Equal(got, want[2:]) {
			t.Errorf("got %v, want %v", got, want[2:])
		}
	}
}

func TestTwoHundredClientsEachGetTheirOwn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := s.serve()
	events := history(0, 12, 800)
	var subjects []subject
	for i := range 100 {
		subjects = append(subjects, subject{customer: int32(1 + i%3)}, subject{order: events[i*4].Order})
	}
	begin := s.position()
	var all []*follower
	for _, sub := range subjects {
		all = append(all, s.follow(server.URL+sub.path(), begin))
	}
	until(t, "200 streams", func() bool { return testutil.ToFloat64(s.metrics.open) == 200 })
	go func() {
		for rest := events; len(rest) > 0; rest = rest[20:] {
			s.apply(0, rest[:20])
		}
	}()
	for i, f := range all {
		same(t, f.changes(t, len(of(events, subjects[i]))), events, subjects[i])
		f.close()
	}
	until(t, "nobody listens", func() bool { return testutil.ToFloat64(s.metrics.open) == 0 })
	if n := len(s.hub.listeners); n != 0 {
		t.Errorf("%d subjects are still kept", n)
	}
	if n := testutil.ToFloat64(s.metrics.ended.WithLabelValues("client")); n != 200 {
		t.Errorf("%v of 200 streams were ended by their client", n)
	}
}

// A client that does not read is cut off, while another gets everything; when it comes again, it goes on where it was.
func TestASlowClientIsCutOffAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := httptest.NewUnstartedServer(s)
	server.Listener = narrow{server.Listener}
	server.Start()
	t.Cleanup(server.Close)
	events := history(0, 10, 6000)
	sub := subject{customer: 1}
	begin := s.position()
	slow := dial(t, server)
	if err := slow.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(slow, "GET %s HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: %s\r\n\r\n", sub.path(), begin)
	quick := s.follow(server.URL+sub.path(), begin)
	until(t, "both listen", func() bool { h := s.hub; h.mu.Lock(); defer h.mu.Unlock(); return len(h.listeners[sub]) == 2 })
	go func() {
		for rest := events; len(rest) > 0; rest = rest[200:] {
			s.apply(0, rest[:200])
		}
	}()
	same(t, quick.changes(t, len(of(events, sub))), events, sub)
	until(t, "the slow one is cut off", func() bool { return testutil.ToFloat64(s.metrics.ended.WithLabelValues("slow")) == 1 })

	answer, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	f := &follower{body: answer.Body, text: bufio.NewReader(answer.Body), id: begin}
	var got []change
	for {
		c, err := f.change()
		if err != nil {
			break
		}
		got = append(got, c)
	}
	missed := len(of(events, sub)) - len(got)
	if missed < backlog {
		t.Errorf("the slow one missed %d changes only", missed)
	}
	same(t, append(got, s.follow(server.URL+sub.path(), f.id).changes(t, missed)...), events, sub)
}

// narrow makes connections that hold little of what is written.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

func TestAStreamThatIsSilentTellsItsPosition(t *testing.T) {
	t.Parallel()
	s := setupWith(t, func(c *Config) { c.Heartbeat = 10 * time.Millisecond })
	server := httptest.NewUnstartedServer(s)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond // it outlives them
	server.Start()
	t.Cleanup(server.Close)
	events := history(0, 3, 60)
	sub := subject{order: events[0].Order}
	f := s.follow(server.URL+sub.path(), "")
	for range 30 {
		if m, err := f.block(); err != nil || m.name != "" || f.id != s.position() {
			t.Fatalf("got %v at %q, %v; want nothing but %q", m, f.id, err, s.position())
		}
	}
	s.apply(0, events)
	same(t, f.changes(t, len(of(events, sub))), events, sub)
	before := f.id
	until(t, "the position behind what is others'", func() bool {
		_, err := f.block()
		return err == nil && f.id == s.position()
	})
	if before == f.id {
		t.Error("the last event was the order's: choose another seed")
	}
}

func TestAStreamBeginsBehindTheAnswerThatItFollows(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := s.serve()
	events := history(0, 5, 150)
	s.apply(0, events[:70])
	at := s.position()
	s.apply(0, events[70:100])
	sub := subject{customer: 2}
	since := s.follow(server.URL+sub.path()+"?after="+url.QueryEscape(at), "")
	now := s.follow(server.URL+sub.path(), "")
	if m, err := now.block(); err != nil || m.name != "" || now.id != s.position() {
		t.Fatalf("got %v at %q, %v; want it to begin at %q", m, now.id, err, s.position())
	}
	after := s.follow(server.URL+sub.path()+"?read_after="+last(events[:100]).String(), "")
	if _, err := after.block(); err != nil {
		t.Fatal(err)
	}
	s.apply(0, events[100:])
	n := len(of(events, sub)) - len(of(events[:70], sub))
	if got, want := texts(since.changes(t, n)), of(events, sub); !slices.Equal(got, want[len(want)-n:]) {
		t.Errorf("got %v, want %v", got, want[len(want)-n:])
	}
	for _, f := range []*follower{now, after} {
		n := len(of(events, sub)) - len(of(events[:100], sub))
		if got, want := texts(f.changes(t, n)), of(events, sub); !slices.Equal(got, want[len(want)-n:]) {
			t.Errorf("got %v, want %v", got, want[len(want)-n:])
		}
	}
}

func TestANewTopicOrReadModelIsTold(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"emptied": `DELETE FROM projection_offsets`,
		"topic":   `UPDATE projection_offsets SET topic_id = '0a0a0a0a-0000-4000-8000-000000000002'`,
		"read model": `LOCK TABLE projection_offsets IN ACCESS EXCLUSIVE MODE; SELECT read_model_begin(); INSERT INTO rebuild.projection_offsets SELECT * FROM projection_offsets;
			INSERT INTO rebuild.order_summary SELECT * FROM order_summary; SELECT read_model_swap('rebuild')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			server := s.serve()
			events := s.filled(3, 60)
			sub := subject{order: events[0].Order}
			old := s.position()
			f := s.follow(server.URL+sub.path(), "")
			if _, err := f.block(); err != nil || f.id != old {
				t.Fatalf("at %q, %v; want %q", f.id, err, old)
			}
			until(t, "it listens", func() bool { _, wanted := s.hub.next(); return wanted })
			s.exec(change)
			if m, err := f.next(); err != nil || m.name != "reset" || f.id == old || f.id != s.position() {
				t.Errorf("got %v at %q, %v; want a reset at %q", m, f.id, err, s.position())
			}
			again := s.follow(server.URL+sub.path(), old)
			if m, err := again.next(); err != nil || m.name != "reset" || again.id != s.position() {
				t.Errorf("who comes again got %v at %q, %v; want a reset at %q", m, again.id, err, s.position())
			}
			moved := s.follow(server.URL+sub.path(), again.id)
			if m, err := moved.block(); err != nil || m.name != "" || moved.id != again.id {
				t.Errorf("who goes on got %v at %q, %v; want nothing new", m, moved.id, err)
			}
		})
	}
}

func TestStreamsAreBoundedAndEndWithTheProgram(t *testing.T) {
	t.Parallel()
	s := setupWith(t, func(c *Config) { c.Streams = 1 })
	server := s.serve()
	url := server.URL + subject{customer: 1}.path()
	f := s.follow(url, "")
	if _, err := follow(url, ""); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "/problems/busy") {
		t.Errorf("the second one: %v, want that it is busy", err)
	}
	if r := s.send(http.MethodHead, "/v1/customers/1/changes"); r.code != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", r.code)
	}
	s.stop()
	for {
		if _, err := f.block(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	until(t, "its place is free", func() bool { return len(s.streams) == 0 })
	if n := testutil.ToFloat64(s.metrics.ended.WithLabelValues("shutdown")); n != 1 {
		t.Errorf("%v streams ended with the program, want 1", n)
	}
}

// It is in the timeline, and nobody who follows orders is told of it or kept waiting by it.
func TestAnErasureIsPassedBy(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := s.serve()
	events := history(0, 3, 60)
	last := len(events) - 1
	id := customers(events)[events[last].Order]
	followed := []subject{{order: events[last].Order}, {customer: int32(id)}}
	begin := s.position()
	var live []*follower
	for _, sub := range followed {
		live = append(live, s.follow(server.URL+sub.path(), begin))
	}
	data := event.CustomerErased{CustomerID: id}
	e, err := event.New(event.CustomerKey(id), 1, events[last].At, data)
	if err != nil {
		t.Fatal(err)
	}
	s.apply(0, events[:last])
	s.apply(0, []view.Event{{Event: e, Offset: events[last-1].Offset + 1, LeaderEpoch: -1, Data: data, Raw: raw(e)}})
	events[last].Offset = events[last-1].Offset + 2
	s.apply(0, events[last:])
	for i, sub := range followed {
		same(t, live[i].changes(t, len(of(events, sub))), events, sub)
		same(t, s.follow(server.URL+sub.path(), begin).changes(t, len(of(events, sub))), events, sub) // read behind
	}
	if p := s.get("/v1/orders/" + e.Order.String()).problem(t); p.Type != "/problems/not-found" {
		t.Errorf("got %+v, want that there is no such order", p)
	}
}
