// Package ops is what every program here has in common as a process: flags for its log and its listener, health, metrics
// and profiles over HTTP, signals, and the way from an error to an exit code.
//
// It promises bounded requests, a drain with a deadline, and errors that name the flag to change. It does not decide when
// a program is ready: the program's parts report to a Health. It starts no goroutine that outlives its call.
package ops

import (
	"fmt"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
)

// Flags are the kong flags of a program that listens. Its variable and default address come from the program: pass
// kong.Vars{"listen_env": "RELAY_LISTEN", "listen": "127.0.0.1:7482"} as an option of kong.New.
type Flags struct {
	LogFlags   `embed:""`
	auth.Flags `embed:""`

	Listen string `help:"Address to listen at, for health and metrics at least (${default})." env:"${listen_env}" default:"${listen}" placeholder:"HOST:PORT"`
}

// version is set by the linker where the build does not see the repository, as in the container image's.
var version string

// Version is the module's version and, in brackets, the commit it was built from, as far as the build recorded them.
func Version() string {
	if version != "" {
		return version
	}
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
