package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/certs"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// gated are programs that ask for tokens and speak TLS, and what opens them.
type gated struct {
	*pipeline

	dir     string
	tokens  map[auth.Scope]string // by scope, and one that is not in the token file as 0
	client  http.Client
	foodctl string
}

// gate makes tokens and certificates, with the programs' own commands.
func (p *pipeline) gate() *gated {
	p.Helper()
	g := &gated{pipeline: p, dir: p.TempDir(), tokens: make(map[auth.Scope]string), foodctl: testenv.Build(p, "foodctl")}
	var file []byte
	for scope, args := range map[auth.Scope][]string{
		0: {"stranger", "admin"}, auth.Read: {"looker", "read"}, auth.Command: {"till", "command"}, auth.Admin: {"operator", "admin"},
	} {
		path := filepath.Join(g.dir, args[0])
		line, err := exec.Command(g.foodctl, append([]string{"token"}, append(args, path)...)...).Output()
		if err != nil {
			p.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			p.Fatal(err)
		}
		g.tokens[scope] = strings.TrimSpace(string(text))
		if scope != 0 {
			file = append(file, line...)
		}
	}
	if err := os.WriteFile(g.path("tokens"), file, 0o600); err != nil {
		p.Fatal(err)
	}
	if _, err := certs.Ensure(g.dir, []certs.Identity{{Name: "program", Side: certs.Server, Owner: certs.Self}}, time.Now()); err != nil {
		p.Fatal(err)
	}
	g.client = http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p.Cleanup(g.client.CloseIdleConnections)
	return g
}

func (g *gated) path(name ...string) string {
	return filepath.Join(append([]string{g.dir}, name...)...)
}

// closed is the environment of a program that asks for tokens and speaks TLS.
func (g *gated) closed() []string {
	return []string{
		"TOKEN_FILE=" + g.path("tokens"),
		"TLS_CERT_FILE=" + g.path("servers", "program", "tls.crt"), "TLS_KEY_FILE=" + g.path("servers", "program", "tls.key"),
	}
}

// asking is the environment of a program that asks others, with the token of a file.
func (g *gated) asking(token string) []string {
	return []string{"BEARER_TOKEN_FILE=" + g.path(token), "HTTP_CA_FILE=" + g.path("servers", "program", "ca.crt")}
}

// run runs a command to its end, and returns what it printed.
func (g *gated) run(env []string, program string, args ...string) (out string, code int) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Build(g, program), args...)
	cmd.Env = slices.Concat(os.Environ(), g.env(), env)
	printed, err := cmd.CombinedOutput()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		g.Fatal(err)
	}
	return string(printed), exitCode(err)
}

// pattern is a path in a program's source, with its method or without.
var pattern = regexp.MustCompile(`^(?:[A-Z]+ )?(/(?:[a-z][^ ]*)?)$`)

// routes are all paths that stand in the source of what serves, wildcards filled in, and some that nobody serves.
func routes(t *testing.T) []string {
	t.Helper()
	paths := []string{"/", "//", "/livez", "/readyz", "/livez/", "/livez/..", "//livez", "/nowhere", "/debug", "/v1", "/favicon.ico", "/.git/config"}
	for _, dir := range []string{"orderservice", "relay", "projector", "foodctl/console", "internal/ops", "internal/edge"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if l, is := n.(*ast.BasicLit); is && l.Kind == token.STRING {
					text, _ := strconv.Unquote(l.Value)
					if found := pattern.FindStringSubmatch(text); found != nil {
						paths = append(paths, fill(found[1]))
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// fill puts something in the place of a pattern's wildcards. Profiles take a second, not half a minute.
func fill(path string) string {
	path = strings.ReplaceAll(path, "{$}", "")
	path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "0192d3a4-5b6c-7d8e-8f90-a1b2c3d4e5f6")
	if strings.HasPrefix(path, "/debug/") {
		path += "?seconds=1"
	}
	return path
}

// try asks and returns how it is answered: the status, and whether it was the guard that refused.
func (g *gated) try(program *program, method, path, token string) (status int, refused bool) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "https://"+program.address, nil)
	if err != nil {
		g.Fatal(err)
	}
	r.URL.Opaque = "//" + program.address + path
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := g.client.Do(r)
	if err != nil {
		g.Fatalf("%s: %s %s: %v", program.name, method, path, err)
	}
	defer answer.Body.Close()
	challenged := len(answer.Header.Values("WWW-Authenticate")) > 0
	var problem struct{ Type string }
	if challenged && method != http.MethodHead {
		if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil || !strings.HasPrefix(problem.Type, "/problems/") {
			g.Errorf("%s: %s %s is refused without a problem: %v", program.name, method, path, err)
		}
	}
	return answer.StatusCode, challenged
}

// personal are the paths at which names and addresses are shown.
var personal = regexp.MustCompile(`^/v1/customers/[^/?]+(\?|$)`)

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"}

// opensOnlyTo walks through a program's paths with each method, without a token, with a foreign one, with each scope.
func (g *gated) opensOnlyTo(program *program, paths []string) {
	g.Helper()
	requests := 0
	for _, path := range paths {
		for _, method := range methods {
			looks := method == "GET" || method == "HEAD"
			if bare, _, _ := strings.Cut(path, "?"); looks && (bare == "/livez" || bare == "/readyz") {
				if status, refused := g.try(program, method, path, ""); status != http.StatusOK || refused {
					g.Errorf("%s: %s %s is answered %d without a token, want 200", program.name, method, path, status)
				}
				continue
			}
			need := auth.Admin
			switch {
			case strings.HasPrefix(path, "/debug/"), strings.HasPrefix(path, "/api/chaos/"), personal.MatchString(path):
			case looks, method == "OPTIONS":
				need = auth.Read
			case method == "POST", method == "PUT", method == "PATCH":
				need = auth.Command
			}
			for scope, presented := range map[auth.Scope]string{-1: "", 0: g.tokens[0], auth.Read: g.tokens[auth.Read], auth.Command: g.tokens[auth.Command], auth.Admin: g.tokens[auth.Admin]} {
				requests++
				want := http.StatusForbidden
				if scope < auth.Read {
					want = http.StatusUnauthorized
				}
				status, refused := g.try(program, method, path, presented)
				if scope < need && (status != want || !refused) {
					g.Errorf("%s: %s %s with a token of scope %d is answered %d, want %d", program.name, method, path, scope, status, want)
				}
				if scope >= need && refused {
					g.Errorf("%s: %s %s with a token of scope %d is refused, with %d", program.name, method, path, scope, status)
				}
			}
		}
	}
	g.Logf("%s: %d requests to %d paths", program.name, requests, len(paths))
}

func TestNoEndpointOfAnyProgramAnswersWithoutAToken(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.Broker(t))
	g := p.gate()
	relay := p.relay("relay", g.closed()...)
	projector := p.projector("projector", g.closed()...)
	query := p.program("query", "projector", "QUERY_LISTEN", []string{"serve"}, g.closed()...).start()
	orderservice := p.orderservice(g.closed()...)
	console := p.program("console", "foodctl", "CONSOLE_LISTEN", []string{"console"}, slices.Concat(g.closed(), g.asking("looker"), []string{
		"FOODCTL_RELAYS_AT=relay=" + relay.address, "FOODCTL_ORDERSERVICE_AT=" + orderservice.address, "FOODCTL_PROJECTORS_AT=" + projector.address,
	})...).start()
	for program, check := range map[*program][]string{
		orderservice: {"orderservice"}, relay: {"relay"}, projector: {"projector"}, query: {"projector"}, console: {"projector"},
	} {
		p.until(program.name+" is ready, as its health check says over TLS", func() bool {
			_, code := g.run(append(g.closed(), "ORDERSERVICE_LISTEN="+program.address, "RELAY_LISTEN="+program.address,
				"QUERY_LISTEN="+program.address, "PROJECTOR_LISTEN="+program.address), check[0], "healthcheck", "ready")
			return code == 0
		})
	}
	paths := routes(t)
	if len(paths) < 30 {
		t.Errorf("found only the paths %q", paths)
	}
	for _, program := range p.programs {
		g.opensOnlyTo(program, paths)
		for _, line := range program.lines("") {
			for _, text := range g.tokens {
				if strings.Contains(line, text) {
					t.Errorf("%s logs a token: %s", program.name, line)
				}
			}
		}
	}
	g.othersAsk(relay, console)
}

// othersAsk has those programs look that ask others: with the token they see what there is, without it they say what they lack.
func (g *gated) othersAsk(relay, console *program) {
	g.Helper()
	const wants = "it wants a token of its --token-file: give one by --bearer-token-file"
	at := "RELAY_LISTEN=" + relay.address
	if out, code := g.run(append(g.asking("looker"), at), "relay", "status"); code != 0 || !strings.Contains(out, relay.address+" is active") {
		g.Errorf("relay status with a token: %d\n%s", code, out)
	}
	if out, _ := g.run(append(g.asking("looker"), at, "BEARER_TOKEN_FILE="), "relay", "status"); !strings.Contains(out, relay.address+" does not say: "+wants) {
		g.Errorf("relay status without a token:\n%s", out)
	}
	watching := []string{"FOODCTL_RELAYS_AT=relay=" + relay.address, "FOODCTL_FOR=5s"}
	if out, _ := g.run(append(g.asking("looker"), watching...), "foodctl", "watch"); !strings.Contains(out, "relay publishes") {
		g.Errorf("foodctl watch with a token:\n%s", out)
	}
	if out, _ := g.run(append(g.asking("stranger"), watching...), "foodctl", "watch"); !strings.Contains(out, wants) {
		g.Errorf("foodctl watch with a token that is none:\n%s", out)
	}
	g.until("the console sees the relay", func() bool {
		r, err := http.NewRequestWithContext(g.Context(), http.MethodGet, "https://"+console.address+"/api/snapshot", nil)
		if err != nil {
			g.Fatal(err)
		}
		r.SetBasicAuth("", g.tokens[auth.Read])
		answer, err := g.client.Do(r)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		var s struct {
			Relays  []struct{ Role string }
			Trouble []string
		}
		return json.NewDecoder(answer.Body).Decode(&s) == nil && len(s.Relays) == 1 && s.Relays[0].Role == "active" && len(s.Trouble) == 0
	})
}
