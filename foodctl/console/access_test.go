package console

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/browser"
)

// guarded is a bare console that asks for a token.
func guarded(t *testing.T) (c *Console, server *httptest.Server, token string) {
	t.Helper()
	token, line, err := auth.NewToken("somebody", auth.Read)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	guard, err := auth.Flags{TokenFile: file}.Guard(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c, _ = bare(t, Config{})
	server = httptest.NewUnstartedServer(c.Handler(ops.Registry()))
	guard.Protect(server.Config)
	server.Start()
	t.Cleanup(func() {
		c.hub.close()
		server.Close()
	})
	return c, server, token
}

func TestWhoHasATokenMayUseAnyName(t *testing.T) {
	t.Parallel()
	c, server, token := guarded(t)
	c.hub.publish(&Snapshot{Number: 1})
	for host, want := range map[string]int{"": http.StatusOK, "console.example": http.StatusOK} {
		answer := do(t, http.MethodGet, server.URL+"/api/snapshot", "", func(r *http.Request) {
			r.Host = host
			r.SetBasicAuth("", token)
		})
		if answer.code != want {
			t.Errorf("host %q is answered %d, want %d", host, answer.code, want)
		}
	}
}

// TestABrowserWithTheTokenShowsThePageAndFollows logs in as a browser's form does: what it has sent once it sends with all that the page
// asks for.
func TestABrowserWithTheTokenShowsThePageAndFollows(t *testing.T) {
	t.Parallel()
	b := browser.Start(t)
	c, server, token := guarded(t)
	now := scene(1)
	c.hub.publish(&now)
	if got := do(t, http.MethodGet, server.URL, "", nil).code; got != http.StatusUnauthorized {
		t.Errorf("without the token the page is answered %d", got)
	}
	b.Empty().Do(chromedp.Navigate(strings.Replace(server.URL, "://", "://any:"+token+"@", 1) + "/version"))
	page := b.Open(server.URL, browser.Desk)
	page.Shows("verdict-state", "In sync")
	later := relayDown(2)
	c.hub.publish(&later)
	page.Shows("verdict-state", "Relay down")
}
