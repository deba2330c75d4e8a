package auth

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestATokenIsWithdrawnAndGivenWithoutARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	first := issue(t, file, "first", Read)
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		guard, err := Flags{TokenFile: file}.Guard(slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		opens := func(token string) bool {
			_, known := guard.tokens.now().find(token)
			return known
		}
		write(t, file, "")
		second := issue(t, file, "second", Read)
		if !opens(first) || opens(second) {
			t.Error("within a second the file was looked at again")
		}
		<-time.After(every)
		if opens(first) || !opens(second) {
			t.Error("after a second the first token still opens, or the second does not yet")
		}
		if late := issue(t, file, "late", Read); opens(late) {
			t.Error("the file is looked at more often than once a second")
		}
		for _, bad := range []func(){
			func() { add(t, file, "third reed\n") },
			func() {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			},
		} {
			bad()
			log.Reset()
			for range 3 {
				<-time.After(every)
				if !opens(second) {
					t.Fatal("a file that cannot be used shut out who was let in")
				}
			}
			if n := strings.Count(log.String(), "changed file not used"); n != 1 {
				t.Errorf("the log says %d times that the file cannot be used, want once:\n%s", n, &log)
			}
		}
		write(t, file, "# nobody\n")
		<-time.After(every)
		if opens(second) {
			t.Error("a file without a token opens")
		}
	})
}

func TestARequestThatWasLetInEnds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	token := issue(t, file, "a", Read)
	synctest.Test(t, func(t *testing.T) {
		guard, err := Flags{TokenFile: file}.Guard(discard)
		if err != nil {
			t.Fatal(err)
		}
		stream := guard.wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/events", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		began := time.Now()
		stream.ServeHTTP(httptest.NewRecorder(), r)
		if took := time.Since(began); took != maxStream {
			t.Errorf("a stream lasted %v, want %v", took, maxStream)
		}
	})
}

func TestATokenToShowIsReadAgain(t *testing.T) {
	t.Parallel()
	h := build(t)
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, h.tokens[Read]+"\n")
	client, err := ClientFlags{BearerTokenFile: file}.Client(discard)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	bearing, _ := client.Transport.(*bearing)
	ask := func() int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	if got := ask(); got != http.StatusForbidden {
		t.Errorf("with a token to read, a command is answered %d", got)
	}
	write(t, file, h.tokens[Command])
	bearing.token.mu.Lock()
	bearing.token.next = time.Now() // as a second later
	bearing.token.mu.Unlock()
	if got := ask(); got != http.StatusOK {
		t.Errorf("after the file was replaced it is answered %d", got)
	}
	for bad, want := range map[string]string{"": "want one line", "\n": "want one line", "two words\n": "want one line", "two\nlines": "want one line"} {
		write(t, file, bad)
		if _, err := (ClientFlags{BearerTokenFile: file}).Client(discard); err == nil || !strings.Contains(err.Error(), "--bearer-token-file: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", bad, err, want)
		}
	}
}
