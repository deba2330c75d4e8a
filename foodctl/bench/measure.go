package bench

import (
	"context"
	"os"
	"runtime"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Measurement is what so many events took. What runs on another machine, or is not involved, has no CPU time: nil.
type Measurement struct {
	Name              string  `json:"name"`
	Events            int64   `json:"events"`
	Seconds           float64 `json:"seconds"`
	EventsPerSecond   float64 `json:"events_per_second"`
	PayloadMBPerSec   float64 `json:"payload_mb_per_second"` // the events' payloads alone, in 10^6 bytes
	CPU               Cost    `json:"cpu_seconds_per_million_events"`
	PeakRSS           *int64  `json:"peak_rss_bytes,omitempty"`
	Reads             *int64  `json:"reads,omitempty"`              // of the replication connection
	KafkaTransactions *int64  `json:"kafka_transactions,omitempty"` // that the relay took
}

// Cost is CPU time, user and system, in seconds per million events. Where nothing was used that shows it is 0.
type Cost struct {
	Own       *float64 `json:"own"` // of what is measured: reader, producer, both of them, or relay
	Walsender *float64 `json:"walsender"`
	Broker    *float64 `json:"broker"`
}

// watch is a measurement that is under way.
type watch struct {
	own, broker int // processes; 0 for one that is elsewhere
	began       time.Time
	before      struct{ own, broker time.Duration }
}

// watch begins to measure a process, and the broker where it is this trial's own.
func (s *servers) watch(own int) *watch {
	if own == os.Getpid() {
		runtime.GC() // of what others have left
	}
	w := &watch{own: own}
	if s.kafka != nil {
		w.broker = s.kafka.PID()
	}
	w.before.own, w.before.broker = cpu(w.own), cpu(w.broker)
	w.began = time.Now()
	return w
}

// stop ends the measurement of so many events with so many bytes of payload. The walsender is a process that was started
// for it, and must still be there; 0 for one that is elsewhere.
func (w *watch) stop(name string, events, payload int64, walsender int) Measurement {
	took := time.Since(w.began).Seconds()
	m := Measurement{
		Name: name, Events: events, Seconds: took, EventsPerSecond: float64(events) / took, PayloadMBPerSec: float64(payload) / took / 1e6,
		CPU: Cost{Own: perMillion(cpu(w.own)-w.before.own, events)},
	}
	if walsender != 0 {
		m.CPU.Walsender = perMillion(cpu(walsender), events)
	}
	if w.broker != 0 {
		m.CPU.Broker = perMillion(cpu(w.broker)-w.before.broker, events)
	}
	return m
}

func cpu(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	return supervise.Of(pid).CPU
}

func perMillion(d time.Duration, events int64) *float64 {
	return new(d.Seconds() / float64(events) * 1e6)
}

// local is a server process of Postgres if that runs on this machine for certain, else 0.
func (s *servers) local(pid int) int {
	if s.postgres == nil {
		return 0
	}
	return pid
}

// Machine is where it was measured.
type Machine struct {
	CPUs     int    `json:"cpus"`
	System   string `json:"system"`
	Postgres string `json:"postgres"`
	Kafka    string `json:"kafka"`
	Version  string `json:"version"` // of the programs
}

// machine asks what it is measured on.
func (s *servers) machine(ctx context.Context) (Machine, error) {
	m := Machine{
		CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Kafka: "given", Version: ops.Version(),
	}
	if s.kafka != nil {
		m.Kafka = "Apache Kafka " + kafkaserver.Version
	}
	err := s.db.QueryRow(ctx, "SHOW server_version").Scan(&m.Postgres)
	return m, err
}

func maxRSS(pid int) int64 { return supervise.Of(pid).MaxRSS }
