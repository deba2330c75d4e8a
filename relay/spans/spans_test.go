package spans

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	trace    = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID   = "00f067aa0ba902b7"
	recorded = "00-" + trace + "-" + spanID + "-01"
)

// headers are those of a record, as a batch has them; an empty value is null.
func headers(pairs ...string) []byte {
	b := binary.AppendVarint(nil, int64(len(pairs)/2))
	for _, text := range pairs {
		if text == "" {
			b = binary.AppendVarint(b, -1)
			continue
		}
		b = append(binary.AppendVarint(b, int64(len(text))), text...)
	}
	return b
}

func TestParentIsTheOneOfASampledTraceparent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		headers []byte
		want    bool
	}{
		"recorded":                  {headers("id", "1", "traceparent", recorded, "x", ""), true},
		"behind a null":             {headers("x", "", "traceparent", recorded), true},
		"other flags beside it":     {headers("traceparent", recorded[:53]+"03"), true},
		"a later version with more": {headers("traceparent", "01"+recorded[2:]+"-more"), true},
		"not recorded":              {headers("traceparent", recorded[:53]+"00"), false},
		"in another's value":        {headers("x", "traceparent"), false},
		"none":                      {headers("id", "1"), false},
		"null":                      {headers("traceparent", ""), false},
		"capital letters":           {headers("traceparent", strings.ToUpper(recorded)), false},
		"no hexadecimal":            {headers("traceparent", strings.Replace(recorded, "4bf", "xyz", 1)), false},
		"no trace":                  {headers("traceparent", "00-"+strings.Repeat("0", 32)+"-"+spanID+"-01"), false},
		"no span":                   {headers("traceparent", "00-"+trace+"-"+strings.Repeat("0", 16)+"-01"), false},
		"a version that is none":    {headers("traceparent", "ff"+recorded[2:]), false},
		"version 00 with more":      {headers("traceparent", recorded+"-more"), false},
		"too short":                 {headers("traceparent", recorded[:54]), false},
		"cut off":                   {headers("traceparent", recorded)[:30], false},
	} {
		p, got := Of(tt.headers)
		if got != tt.want {
			t.Errorf("%s: sampled %v, want %v", name, got, tt.want)
		}
		if !got && p != (Parent{}) {
			t.Errorf("%s: a parent that is none, %x", name, p)
		}
		if got && (p.Trace[0] != 0x4b || p.Trace[15] != 0x36 || p.Span != [8]byte{0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}) {
			t.Errorf("%s: parent %x", name, p)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add(headers("id", "1", "traceparent", recorded))
	f.Add([]byte("\xfetraceparent"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, sampled := Of(b); sampled && (p.Trace == [16]byte{} || p.Span == [8]byte{}) {
			t.Errorf("%x is no parent", p)
		}
	})
}

// collector takes requests, and answers them with the status of the moment.
type collector struct {
	*Exporter

	status  int
	says    string
	bodies  []string
	headers http.Header
	log     bytes.Buffer
	lost    int
}

func setup(t *testing.T) *collector {
	t.Helper()
	c := &collector{status: http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost {
			t.Errorf("%s %s, %v", r.Method, r.URL, err)
		}
		c.bodies, c.headers = append(c.bodies, string(body)), r.Header
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(c.status)
		_, _ = io.WriteString(w, c.says)
	}))
	t.Cleanup(server.Close)
	var err error
	c.Exporter, err = New(Flags{Endpoint: server.URL, Headers: "authorization=Bearer%20secret, x-tenant=7", Service: "relay"},
		slog.New(slog.NewTextHandler(&c.log, nil)), func(n int) { c.lost += n })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func example() Span {
	p, _ := parse([]byte(recorded))
	at := time.Unix(1_795_000_000, 5)
	return Span{
		Parent: p, ID: [8]byte{7: 9}, Topic: "food-orders", Partition: 2, Offset: 41, Event: "an event", Key: "an order",
		Start: at, End: at.Add(time.Millisecond),
	}
}

func TestSpansAreSentAsOTLP(t *testing.T) {
	t.Parallel()
	c := setup(t)
	s := example()
	s.Tombstone = true
	c.Add(s)
	c.drain(t.Context(), nil)
	if c.headers.Get("Authorization") != "Bearer secret" || c.headers.Get("X-Tenant") != "7" || c.headers.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", c.headers)
	}
	const want = `{"resourceSpans": [{
		"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "relay"}}]},
		"scopeSpans": [{"scope": {"name": "github.com/adamkwhite/kafkafoodpipeline/relay"}, "spans": [{
			"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "0000000000000009", "parentSpanId": "00f067aa0ba902b7", "flags": 769,
			"name": "send food-orders", "kind": 3, "startTimeUnixNano": "1795000000000000005", "endTimeUnixNano": "1795000000001000005",
			"attributes": [
				{"key": "messaging.system", "value": {"stringValue": "kafka"}},
				{"key": "messaging.operation.name", "value": {"stringValue": "send"}},
				{"key": "messaging.operation.type", "value": {"stringValue": "send"}},
				{"key": "messaging.destination.name", "value": {"stringValue": "food-orders"}},
				{"key": "messaging.destination.partition.id", "value": {"stringValue": "2"}},
				{"key": "messaging.kafka.offset", "value": {"intValue": "41"}},
				{"key": "messaging.kafka.message.key", "value": {"stringValue": "an order"}},
				{"key": "messaging.message.id", "value": {"stringValue": "an event"}},
				{"key": "messaging.kafka.message.tombstone", "value": {"boolValue": true}}
			],
			"links": [{"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "flags": 769}]
		}]}]}]}`
	var got, wanted any
	if err := json.Unmarshal([]byte(c.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, wanted); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

func TestWhatTheCollectorDoesNotTakeIsDroppedAndSaidOnce(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, c.status = range []int{http.StatusServiceUnavailable, http.StatusFound, http.StatusOK, http.StatusOK} {
		for range 3 {
			c.Add(example())
		}
		c.drain(t.Context(), nil)
	}
	if c.lost != 6 || len(c.bodies) != 4 {
		t.Errorf("%d dropped in %d requests, want 6 in 4", c.lost, len(c.bodies))
	}
	said := c.log.String()
	if strings.Count(said, "level=WARN") != 1 || strings.Count(said, "level=INFO") != 1 || strings.Contains(said, "secret") {
		t.Errorf("the log says\n%s", said)
	}
}

func TestWhatTheCollectorRejectsIsCounted(t *testing.T) {
	t.Parallel()
	for _, said := range []string{`{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}`, `{"partialSuccess": {"rejectedSpans": 2}}`} {
		c := setup(t)
		c.says = said
		for range 3 {
			c.Add(example())
		}
		c.drain(t.Context(), nil)
		if c.lost != 2 || !strings.Contains(c.log.String(), "rejected 2 of 3") {
			t.Errorf("%d dropped, the log says\n%s", c.lost, c.log.String())
		}
	}
}

// Nobody sends, as behind a collector that hangs.
func TestAddNeverWaits(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for range maxQueued + 7 {
		c.Add(example())
	}
	if c.lost != 7 {
		t.Errorf("%d dropped, want 7", c.lost)
	}
	c.drain(t.Context(), nil)
	if got := len(c.bodies); got != maxQueued/maxBatch || c.lost != 7 {
		t.Errorf("%d requests, want %d; %d dropped", got, maxQueued/maxBatch, c.lost)
	}
}

// As many spans as a Kafka transaction of a backlog has come at once, and do not wait for the next tick.
func TestFullBatchesAreSentAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		e, err := New(Flags{Endpoint: "http://collector:4318"}, slog.New(slog.DiscardHandler), func(n int) { t.Errorf("%d dropped", n) })
		if err != nil {
			t.Fatal(err)
		}
		e.client.Transport = taker(func() { sent++ })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.Run(ctx)
		}()
		for range 4*maxBatch + 1 {
			e.Add(example())
		}
		synctest.Wait() // the bubble's clock stands still
		if sent < 4 {
			t.Errorf("%d requests before the tick, want 4 at least", sent)
		}
		cancel()
		<-done
	})
}

// taker is a collector in this process.
type taker func()

// RoundTrip implements http.RoundTripper.
func (f taker) RoundTrip(*http.Request) (*http.Response, error) {
	f()
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestAStopSendsWhatIsLeftAndCountsTheRest(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	for status, lost := range map[int]int{http.StatusOK: 0, http.StatusServiceUnavailable: maxBatch + 1} {
		c := setup(t)
		c.status = status
		for range maxBatch + 1 {
			c.Add(example())
		}
		c.Run(ended)
		if c.lost != lost {
			t.Errorf("status %d: %d dropped in %d requests, want %d", status, c.lost, len(c.bodies), lost)
		}
	}
}

func TestFlagsThatCannotBeUsedAreRefusedWithoutSayingThem(t *testing.T) {
	t.Parallel()
	for _, f := range []Flags{{}, {Endpoint: "http://host:4318", Disabled: true}} {
		if e, err := New(f, nil, nil); e != nil || err != nil {
			t.Errorf("%+v: %v, %v, want none", f, e, err)
		}
	}
	for _, f := range []Flags{
		{Endpoint: "s3cret"},
		{Endpoint: "grpc://s3cret:4317"},
		{Endpoint: "http://user:s3cret@host:4318"},
		{Endpoint: "http://host:4318", Headers: "s3cret"},
		{Endpoint: "http://host:4318", Headers: "=s3cret"},
		{Endpoint: "http://host:4318", Headers: "x=s3cret%"},
		{Endpoint: "http://host:4318", Headers: "authorization: Basic s3cret=="},
		{Endpoint: "http://host:4318", Headers: "x=s3cret%0a"},
		{Endpoint: "http://host:4318/?key=s3cret"},
		{Endpoint: "http://host:4317", Protocol: "grpc"},
	} {
		if _, err := New(f, nil, nil); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
