package bench

import (
	"context"
	"os"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Measurement is what so many events took. CPU time is nil of what is not involved or may run elsewhere, and where
// there is no /proc to read it from.
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

// Cost is CPU time, user and system, in seconds per million events.
type Cost struct {
	Own       *float64 `json:"own"` // of what is measured: reader, producer, both of them, or relay
	Walsender *float64 `json:"walsender"`
	Broker    *float64 `json:"broker"`
}

// watch is a measurement that is under way.
type watch struct {
	began                 time.Time
	own, postgres, broker meter
}

// meter reads a process's CPU time.
type meter struct {
	pid  int // 0 for a process that is elsewhere
	read func(pid int) supervise.Usage
	from time.Duration
}

func newMeter(pid int) meter { return meter{pid, supervise.Of, supervise.Of(pid).CPU} }

// newFamilyMeter is that of a process and all of its children.
func newFamilyMeter(pid int) meter { return meter{pid, supervise.Family, supervise.Family(pid).CPU} }

// used is the time since the meter was made, in seconds; nil if it cannot be known.
func (m meter) used() *float64 {
	if m.pid == 0 || supervise.Of(m.pid).MaxRSS == 0 {
		return nil
	}
	return new((m.read(m.pid).CPU - m.from).Seconds())
}

func (m meter) perMillion(events int64) *float64 {
	used := m.used()
	if used != nil {
		*used *= 1e6 / float64(events)
	}
	return used
}

// watch begins to measure a process, and Postgres and the broker where they are this trial's own.
func (s *servers) watch(own int) *watch {
	if own == os.Getpid() {
		runtime.GC() // of what others have left
	}
	w := &watch{own: newMeter(own)}
	if s.postgres != nil {
		w.postgres = newFamilyMeter(s.postgres.PID())
	}
	if s.kafka != nil {
		w.broker = newMeter(s.kafka.PID())
	}
	w.began = time.Now()
	return w
}

// stop ends the measurement of so many events with so many bytes of payload. The walsender is a process that was
// started for it and is still there, 0 for none or one that is elsewhere.
func (w *watch) stop(name string, events, payload int64, walsender int) Measurement {
	took := time.Since(w.began).Seconds()
	return Measurement{
		Name: name, Events: events, Seconds: took,
		EventsPerSecond: float64(events) / took, PayloadMBPerSec: float64(payload) / took / 1e6,
		CPU: Cost{
			Own:       w.own.perMillion(events),
			Walsender: meter{pid: walsender, read: supervise.Of}.perMillion(events),
			Broker:    w.broker.perMillion(events),
		},
	}
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

// describe asks what it is measured on.
func (s *servers) describe(ctx context.Context) (Machine, error) {
	m := Machine{
		CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Kafka: "given", Version: ops.Version(),
	}
	switch {
	case s.client == nil:
		m.Kafka = "not used"
	case s.kafka != nil:
		m.Kafka = "Apache Kafka " + kafkaserver.Version
	}
	err := s.administer(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SHOW server_version").Scan(&m.Postgres)
	})
	return m, err
}
