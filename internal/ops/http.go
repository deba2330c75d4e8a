package ops

import (
	"context"
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
)

// drain is how long requests that are under way may take after the context of Serve has ended.
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
// ?verbose all parts), /metrics and /version: what may share a listener with an API.
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
	return mux
}

func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // the reader went away: nothing is left to be done for it
}

// Serve listens at addr and answers with h until ctx ends; then it takes no new request, lets those under way finish for
// up to 10 s, and returns nil. It returns an error if it cannot listen, or if requests had to be cut off.
func Serve(ctx context.Context, addr string, h http.Handler) error {
	listener, err := Listen(ctx, addr)
	if err != nil {
		return err
	}
	return ServeOn(ctx, listener, h)
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

// ServeOn is Serve on a listener, which it closes.
func ServeOn(ctx context.Context, listener net.Listener, h http.Handler) error {
	// Every time limit that net/http has is set: a client that sends or reads slowly holds a connection, not the program.
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
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

// Healthcheck asks a program that listens at addr whether it is "live" or "ready", and returns nil if it is. An addr
// without a host, or with the host that means all, is asked on the loopback.
func Healthcheck(ctx context.Context, addr, probe string) error {
	if probe != "live" && probe != "ready" {
		return fmt.Errorf("health check %q: want live or ready", probe)
	}
	local, err := Local(addr)
	if err != nil {
		return fmt.Errorf("health check of %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+local+"/"+probe+"z", nil)
	if err != nil {
		return fmt.Errorf("health check of %s: %w", addr, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy from the environment, nothing left open
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
