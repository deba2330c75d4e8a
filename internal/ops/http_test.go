package ops

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
)

func get(t *testing.T, h http.Handler, target string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	return w.Code, w.Body.String()
}

func TestReadyOnlyWhenEveryPartIs(t *testing.T) {
	t.Parallel()
	health := NewHealth("database", "slot")
	handler := Handler(Registry(), health)
	want := func(code int, text string) {
		t.Helper()
		gotCode, body := get(t, handler, "/readyz")
		if gotCode != code || !strings.Contains(body, text) {
			t.Errorf("got %d %q, want %d with %q", gotCode, body, code, text)
		}
	}
	want(http.StatusServiceUnavailable, "slot: has not reported yet")
	health.Set("database", nil)
	want(http.StatusServiceUnavailable, "slot: has not reported yet")
	health.Set("slot", nil)
	want(http.StatusOK, "ready")
	health.Set("database", errors.New("connection refused"))
	want(http.StatusServiceUnavailable, "database: connection refused")
	if _, body := get(t, handler, "/readyz?verbose"); !strings.Contains(body, "[-] database: connection refused\n[+] slot\n") {
		t.Errorf("verbose: got %q, want each part", body)
	}
	if code, _ := get(t, handler, "/livez"); code != http.StatusOK {
		t.Errorf("livez: got %d, want 200 whatever is not ready", code)
	}
	if NewHealth().Ready() == nil {
		t.Error("a program without parts is ready before it has said anything")
	}
}

func TestPublicHasNoProfiles(t *testing.T) {
	t.Parallel()
	for target, want := range map[string][2]int{"/metrics": {200, 200}, "/version": {200, 200}, "/debug/pprof/": {200, 404}} {
		inside, _ := get(t, Handler(Registry(), NewHealth()), target)
		public, _ := get(t, Public(Registry(), NewHealth()), target)
		if inside != want[0] || public != want[1] {
			t.Errorf("%s: got %d inside and %d public, want %v", target, inside, public, want)
		}
	}
}

func TestServeFinishesRequestsUnderWay(t *testing.T) {
	t.Parallel()
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	arrived, release := make(chan struct{}), make(chan struct{})
	served, answered := make(chan error, 1), make(chan string, 1)
	go func() {
		served <- ServeOn(ctx, listener, new(auth.Guard), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(arrived)
			<-release
			_, _ = io.WriteString(w, "whole")
		}))
	}()
	go func() {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + listener.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answered <- string(body)
	}()
	<-arrived
	cancel()
	close(release)
	if got := <-answered; got != "whole" {
		t.Errorf("the request under way got %q, want its whole answer", got)
	}
	if err := <-served; err != nil {
		t.Errorf("got %v, want a clean end", err)
	}
}

func TestTakenPortIsNamedWithTheFlag(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	holder, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	_, port, _ := net.SplitHostPort(holder.Addr().String())
	_, err = Listen(t.Context(), holder.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "port "+port+" is taken") || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("got %v, want the port and the flag", err)
	}
	for _, bad := range []string{"7481", "nowhere.invalid:1"} {
		if _, err := Listen(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "--listen wants HOST:PORT") {
			t.Errorf("%s: got %v, want what --listen takes", bad, err)
		}
	}
}

func TestHealthcheckTellsReadyFromNot(t *testing.T) {
	t.Parallel()
	health := NewHealth("database")
	server := httptest.NewServer(Handler(Registry(), health))
	addr := server.Listener.Addr().String()
	if err := Healthcheck(t.Context(), addr, "live", ""); err != nil {
		t.Errorf("live: %v", err)
	}
	if err := Healthcheck(t.Context(), addr, "ready", ""); err == nil || !strings.Contains(err.Error(), "database") {
		t.Errorf("ready: got %v, want the part that is not", err)
	}
	health.Set("database", nil)
	_, port, _ := net.SplitHostPort(addr)
	for _, a := range []string{addr, ":" + port, "0.0.0.0:" + port} {
		if err := Healthcheck(t.Context(), a, "ready", ""); err != nil {
			t.Errorf("ready at %s: %v", a, err)
		}
	}
	server.Close()
	if err := Healthcheck(t.Context(), addr, "live", ""); err == nil || !strings.Contains(err.Error(), "nothing answers") {
		t.Errorf("closed: got %v, want that nothing answers", err)
	}
	if Healthcheck(t.Context(), addr, "well", "") == nil || Healthcheck(t.Context(), "7481", "live", "") == nil {
		t.Error("a malformed probe or address passes")
	}
}

// certificate writes what httptest has into files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	pkcs8, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "crt"), filepath.Join(dir, "key")
}

func TestWhatIsServedIsBehindTheGuard(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t)
	guard, err := auth.Flags{TokenFile: tokens, TLSCert: cert, TLSKey: key}.Guard(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	health := NewHealth("all")
	health.Set("all", nil)
	go func() { served <- ServeOn(ctx, listener, guard, Handler(Registry(), health)) }()
	addr := listener.Addr().String()
	if err := Healthcheck(t.Context(), addr, "ready", cert); err != nil {
		t.Errorf("a health check over TLS, without a token: %v", err)
	}
	if err := Healthcheck(t.Context(), addr, "ready", ""); err == nil || !strings.Contains(err.Error(), "HTTP request to an HTTPS server") {
		t.Errorf("a health check that knows nothing of TLS: %v", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Get("https://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("metrics without a token are answered %d", answer.StatusCode)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestHealthAndVersionAreMetrics(t *testing.T) {
	t.Parallel()
	reg, health := Registry(), NewHealth("database", "slot")
	reg.MustRegister(health)
	health.Set("slot", nil)
	_, body := get(t, Public(reg, health), "/metrics")
	for _, want := range []string{`health_ready{part="database"} 0`, `health_ready{part="slot"} 1`, `build_info{version="` + Version() + `"} 1`} {
		if !strings.Contains(body, want) {
			t.Errorf("want %s in the metrics", want)
		}
	}
}
