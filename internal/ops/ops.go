// Package ops is what every program here has in common as a process: flags for its log and its listener, health, metrics
// and profiles over HTTP, signals, and the way from an error to an exit code.
//
// It promises bounded requests, a drain with a deadline, and errors that name the flag to change. It does not decide when
// a program is ready: the program's parts report to a Health. It starts no goroutine that outlives its call.
package ops

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Flags are the kong flags of a program that listens. Its variable and default address come from the program: pass
// kong.Vars{"listen_env": "RELAY_LISTEN", "listen": "127.0.0.1:7482"} as an option of kong.New.
type Flags struct {
	LogFlags `embed:""`

	Listen string `help:"Address to listen at, for health and metrics at least (${default})." env:"${listen_env}" default:"${listen}" placeholder:"HOST:PORT"`
}

// LogFlags are the kong flags of a program that logs and does not listen.
type LogFlags struct {
	LogLevel  slog.Level `help:"Least severe messages to log: debug, info, warn or error (${default})." env:"LOG_LEVEL" default:"info" placeholder:"LEVEL"`
	LogFormat string     `help:"Log as text or json; auto is text on a terminal, else json (${default})." env:"LOG_FORMAT" default:"auto" enum:"auto,text,json" placeholder:"FORMAT"`
}

// Log makes the program's logger. Messages below the level are dropped.
func (f LogFlags) Log(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.LogLevel}
	if f.LogFormat == "text" || (f.LogFormat != "json" && terminal(w)) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func terminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Version is the module's version and, in brackets, the commit it was built from, as far as the build recorded them.
func Version() string {
	info, recorded := debug.ReadBuildInfo()
	if !recorded {
		return "unknown"
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed"
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return fmt.Sprintf("%s (%s%s)", info.Main.Version, revision, changed)
}

// Registry makes a registry that already holds the Go runtime's, the process's and the build's metrics.
func Registry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "build_info", Help: "1, with the version of the program, as /version tells it.", ConstLabels: prometheus.Labels{"version": Version()},
	})
	build.Set(1)
	reg.MustRegister(
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return reg
}
