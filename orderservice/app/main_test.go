package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// process is a running orderservice.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	log  *testenv.Output
	done chan struct{} // closed when it has ended
}

// start runs the program on a database, at a port of its own choice, until the test ends.
func start(t *testing.T, database string, env ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), testenv.Build(t, "orderservice"))
	cmd.Env = append(cmd.Environ(), append([]string{"ORDERS_DATABASE_URL=" + database, "ORDERSERVICE_LISTEN=127.0.0.1:0", "LOG_FORMAT=json"}, env...)...)
	p := &process{t: t, cmd: cmd, log: new(testenv.Output), done: make(chan struct{})}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(p.done)
		p.follow(stderr, listening)
		_ = cmd.Wait() // ProcessState has what became of it
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-p.done
	})
	select {
	case p.addr = <-listening:
	case <-p.done:
		if len(listening) == 1 {
			p.addr = <-listening
		}
	}
	return p
}

// follow keeps what the program logs, and tells the address that it listens at.
func (p *process) follow(stderr io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(p.log, lines.Text())
		var entry struct{ Msg, Listen string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "started" {
			listening <- entry.Listen
		}
	}
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the exit code, -1 for a killed process.
func (p *process) wait() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// awaits asks over and over until the answer has the code, and returns its body.
func (p *process) awaits(path string, code int) string {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		got, body := p.get(path)
		if got == code {
			return body
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: after a minute still %d %s\n%s", path, got, body, p.log)
		}
	}
}

func (p *process) get(path string) (int, string) {
	r, err := p.request(http.MethodGet, path, "")
	return r.code, r.body + errText(err)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

type response struct {
	code   int
	header http.Header
	body   string
}

func (p *process) request(method, path, body string, headers ...string) (response, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, "http://"+p.addr+path, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return response{answer.StatusCode, answer.Header, string(content)}, err
}

const soup = `{"customer_id": 7, "service": "delivery", "lines": [{"item_id": 1, "quantity": 2}]}`

func (p *process) place(key string) (response, error) {
	return p.request(http.MethodPost, "/v1/orders", soup, "Content-Type", "application/json", "Idempotency-Key", key)
}

// query reads one value from the database.
func query[T any](t *testing.T, database, statement string) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // only read through
	if err := conn.QueryRow(t.Context(), statement).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
