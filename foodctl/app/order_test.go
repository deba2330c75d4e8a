package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// placeOrder orders a Bruschetta or two and returns the order's id.
func placeOrder(t *testing.T, ports stack.Ports) string {
	t.Helper()
	body := strings.NewReader(`{"customer_id": 7, "service": "pickup", "lines": [{"item_id": 3, "quantity": 2}]}`)
	answer, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/v1/orders", ports.OrderService), "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("ordered: %s", answer.Status)
	}
	return strings.TrimPrefix(answer.Header.Get("Location"), "/v1/orders/")
}

// beside are the flags of a command that looks at the system of up in the directory.
func beside(dir string, ports stack.Ports) []string {
	return []string{"--data-dir", dir, fmt.Sprintf("--postgres-port=%d", ports.Postgres), fmt.Sprintf("--brokers=127.0.0.1:%d", ports.Broker)}
}

func TestAnOrderIsFollowedThroughARunningSystem(t *testing.T) {
	t.Parallel()
	dir, flags, ports := place(t)
	up := foodctl(t, append(flags, "--rate=20")...)
	up.flowing()

	tail := startTail(t, fmt.Sprintf("--brokers=127.0.0.1:%d", ports.Broker), "--json")
	id := placeOrder(t, ports)
	placed := tail.until(func(l recordLine) bool { return l.Order.String() == id })
	if placed.Version != 1 || placed.Type != "order.placed.v1" || placed.Commit == 0 || placed.Latency <= 0 {
		t.Errorf("the tail says %+v", placed)
	}
	if err := tail.stop(); err != nil {
		t.Errorf("tail at Ctrl-C: %v", err)
	}

	var l life.Life
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for !l.Complete() { // it takes a moment until the projector has it
		var out strings.Builder
		err := run(ctx, append([]string{"order", id, "--json"}, beside(dir, ports)...), &out, io.Discard)
		if code := ops.Exit(err, io.Discard); code != 0 && code != 2 || json.Unmarshal([]byte(out.String()), &l) != nil || (code == 0) != l.Complete() {
			t.Fatalf("exit code %d (%v), printed %s", code, err, out.String())
		}
	}
	e := l.Events[0]
	if e.Partition != placed.Partition || e.Offset != placed.Offset || e.AppliedAt != placed.Offset || e.Commit != placed.Commit || !e.Found {
		t.Errorf("the order's first event is %+v, the tail said %+v", e, placed)
	}

	var text strings.Builder
	if err := run(t.Context(), append([]string{"order", id}, beside(dir, ports)...), &text, io.Discard); err != nil ||
		!strings.Contains(text.String(), "all in the read model") {
		t.Errorf("%v, printed\n%s", err, text.String())
	}
	err := run(t.Context(), append([]string{"order", uuid.NewString()}, beside(dir, ports)...), io.Discard, io.Discard)
	if code := ops.Exit(err, io.Discard); code != 1 || !errors.Is(err, life.ErrUnknown) {
		t.Errorf("an order that nobody knows: exit code %d, %v", code, err)
	}
}

func TestAnOrderOnItsWayIsExitCode2AndSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	orders := testenv.Orders(t)
	id := uuid.NewString()
	insert(t, orders, id)
	var out strings.Builder
	err := run(t.Context(), []string{
		"order", id, "--orders-url", orders, "--readmodel-url", testenv.ReadModel(t), "--brokers", brokers, "--topic", testenv.Topic(t, brokers, 3),
	}, &out, io.Discard)
	if code := ops.Exit(err, io.Discard); code != 2 || !strings.Contains(out.String(), "1 event not yet in the topic: does the relay run?") {
		t.Errorf("exit code %d (%v), printed\n%s", code, err, out.String())
	}
}

func TestOrderSaysWhatToGiveIt(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"no order's id": {"order", "7"},
		"give both":     {"order", uuid.NewString(), "--orders-url", "postgres://localhost/orders"},
	} {
		err := run(t.Context(), args, io.Discard, io.Discard)
		if code := ops.Exit(err, io.Discard); code != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: exit code %d, %v; want 2 and %q", args, code, err, want)
		}
	}
}

// following is a tail that runs in this process.
type following struct {
	t     *testing.T
	lines chan recordLine
	text  *testenv.Output
	stop  func() error
}

// startTail starts foodctl tail and waits until it follows.
func startTail(t *testing.T, args ...string) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	f := &following{t: t, lines: make(chan recordLine, 1000), text: &testenv.Output{}}
	begun, begin := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"tail"}, args...), in, writerFunc(func(b []byte) {
			if strings.Contains(string(b), "following") {
				begin()
			}
		}))
		_ = in.Close()
		begin()
		ended <- err
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for decoder := json.NewDecoder(io.TeeReader(out, f.text)); ; {
			var l recordLine
			if decoder.Decode(&l) != nil {
				_, _ = io.Copy(f.text, out) // text, or the end
				return
			}
			f.lines <- l
		}
	}()
	f.stop = func() error {
		cancel()
		<-read
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { _ = f.stop() })
	<-begun.Done()
	return f
}

func (f *following) until(is func(recordLine) bool) recordLine {
	f.t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case l := <-f.lines:
			if is(l) {
				return l
			}
		case <-timeout:
			f.t.Fatalf("no such line within %s; it printed\n%s", limit, f.text)
		}
	}
}

// writerFunc is told what is written.
type writerFunc func([]byte)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }
