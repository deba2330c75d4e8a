package ops

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

// drain is how long requests that are under way may take after the context of ServeOn has ended.
const drain = 10 * time.Second

// Handler serves Public and, under /debug/pprof/, the profiles. It is meant for an address that outsiders cannot reach.
func Handler(reg *prometheus.Registry, h *Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", Public(reg, h))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// Public serves /livez (the process answers), /readyz (every part of h is ready, else 503 with the reasons; with
// ?verbose all parts), /metrics, /version and, for where there is no API, the problems of who may ask: what may share a listener
// with one.
func Public(reg *prometheus.Registry, h *Health) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		code, body := http.StatusOK, "ready\n"
		if err := h.Ready(); err != nil {
			code, body = http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n"
		}
		if r.URL.Query().Has("verbose") {
			body = h.report() + body
		}
		text(w, code, body)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, Version()+"\n") })
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	mux.HandleFunc("GET /problems/{kind}", edge.Explain(nil))
	return mux
}

func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // the reader went away: nothing is left to be done for it
}

// Listen opens a TCP address. Its error names the port and the flag to change.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		_, port, _ := net.SplitHostPort(addr)
		return nil, fmt.Errorf("port %s is taken: stop what listens on %s, or choose another address with --listen: %w", port, addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listening on %s is not allowed: choose a port above 1023 with --listen: %w", addr, err)
	case err != nil:
		return nil, fmt.Errorf("--listen wants HOST:PORT of this machine, e.g. 127.0.0.1:7481: %w", err)
	}
	return listener, nil
}

// ServeOn answers on a listener with h, to whom the guard lets in, until ctx ends; then it takes no new request, lets those under way
// finish for up to 10 s, and returns nil. It returns an error if requests had to be cut off. It closes the listener.
//
// It is the only place in which a program serves, so that nothing is served without its guard.
func ServeOn(ctx context.Context, listener net.Listener, guard *auth.Guard, h http.Handler) error {
	// Every time limit that net/http has is set: a client that sends or reads slowly holds a connection, not the program.
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	guard.Protect(server)
	guard.Announce(listener.Addr())
	served := make(chan error, 1)
	go func() { served <- serve(server, listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(deadline)
	if err != nil {
		err = fmt.Errorf("requests on %s were cut off after %v: %w", listener.Addr(), drain, errors.Join(err, server.Close()))
	}
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

func serve(server *http.Server, listener net.Listener) error {
	if server.TLSConfig == nil {
		return server.Serve(listener)
	}
	return server.ServeTLS(listener, "", "")
}

// Local returns where on this machine to reach a program that listens at addr: without a host, or with the host that means
// all, on the loopback.
func Local(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q: want HOST:PORT: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}

// ProbeFlags are the kong flags of a health check.
type ProbeFlags struct {
	Probe   string `arg:"" optional:"" default:"ready" enum:"live,ready" help:"live or ready (${default})."`
	TLSCert string `name:"tls-cert" help:"The program's certificate, if it has one: it is then asked over TLS." env:"TLS_CERT_FILE" placeholder:"FILE"`
}

// Healthcheck asks a program that listens at addr whether it is "live" or "ready", and returns nil if it is. An addr
// without a host, or with the host that means all, is asked on the loopback. With a certificate, which is not read, it asks over TLS.
func Healthcheck(ctx context.Context, addr, probe, certificate string) error {
	if probe != "live" && probe != "ready" {
		return fmt.Errorf("health check %q: want live or ready", probe)
	}
	local, err := Local(addr)
	if err != nil {
		return fmt.Errorf("health check of %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	scheme, transport := "http", &http.Transport{DisableKeepAlives: true} // no proxy from the environment, nothing left open
	if certificate != "" {
		scheme = "https"
		// Not verified: it is for the name by which others reach the program, and this asks by its own address. No secret is sent, and
		// whoever could answer in the program's place on its own host could as well say that it is fine.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+local+"/"+probe+"z", nil)
	if err != nil {
		return fmt.Errorf("health check of %s: %w", addr, err)
	}
	client := http.Client{Transport: transport}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("health check of %s: nothing answers: is the program running, and is --listen the same? %w", addr, err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // the code decides; the body only explains
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", addr, answer.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
