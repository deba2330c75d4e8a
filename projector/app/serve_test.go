package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestServeAnswersUntilItIsStopped(t *testing.T) {
	t.Parallel()
	url := testenv.ReadModel(t)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	listen, log := free(t), new(testenv.Output)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error)
	go func() {
		ended <- run(ctx, []string{"serve", "--database-url", url + "&role=readmodel_reader", "--listen", listen, "--log-format=json"}, log, log)
	}()
	becomes := func(ready bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); (ops.Healthcheck(ctx, listen, "ready", "") == nil) != ready; {
			if time.Now().After(deadline) {
				t.Fatalf("after a minute not ready=%v: %s", ready, log)
			}
		}
	}
	get := func(path string) (code int, body string) {
		t.Helper()
		answer, err := http.Get("http://" + listen + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	becomes(true)
	if code, body := get("/v1/kitchen"); code != http.StatusOK {
		t.Errorf("got %d %s", code, body)
	}
	if _, metrics := get("/metrics"); !strings.Contains(metrics, `query_requests_total{code="200",route="GET /v1/kitchen"} 1`) {
		t.Errorf("the metrics do not count the request: %s", metrics)
	}
	if code, _ := get("/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("outsiders get profiles: %d", code)
	}
	for _, change := range []struct {
		statement string
		ready     bool
	}{{"ALTER TABLE schema_migrations RENAME TO away", false}, {"ALTER TABLE away RENAME TO schema_migrations", true}} {
		if _, err := pool.Exec(ctx, change.statement); err != nil {
			t.Fatal(err)
		}
		becomes(change.ready)
	}
	stream, err := http.Get("http://" + listen + "/v1/customers/1/changes")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("with a stream open it ended with %v", err)
	}
	if rest, err := io.ReadAll(stream.Body); err != nil || !strings.HasPrefix(string(rest), "retry: ") {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	for _, want := range []string{`"started"`, `"the readmodel database is not ready"`, `"the readmodel database is ready again"`, `"stopped"`} {
		if !strings.Contains(log.String(), fmt.Sprintf(`"msg":%s`, want)) {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
}

func TestAWrongServeSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	database := "--database-url=postgres://query:s3cret@127.0.0.1:1/readmodel"
	for want, args := range map[string][]string{
		"--database-url":     {},
		"--connections is 2": {database, "--connections=2"},
		"--max-streams":      {database, "--max-streams=0"},
		"--heartbeat is 0s":  {database, "--heartbeat=0s"},
		"want postgres://":   {"--database-url=postgres://query:s3cret@[", "--listen=127.0.0.1:0"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"serve"}, args...), &out, &out)
		if code := ops.Exit(err, &out); code != 2 || !strings.Contains(out.String(), want) || strings.Contains(out.String(), "s3cret") {
			t.Errorf("%v: exit code %d, %s; want 2, %q and no secret", args, code, &out, want)
		}
	}
}
