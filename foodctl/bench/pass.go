package bench

import "time"

// Pass is what it took to bring the events into a read model. CPU time and memory are nil where they cannot be known.
type Pass struct {
	Name            string   `json:"name"`
	Events          int64    `json:"events"`
	Seconds         float64  `json:"seconds"`
	EventsPerSecond float64  `json:"events_per_second"`
	CPU             PassCost `json:"cpu_seconds_per_million_events"`
	PeakRSS         *int64   `json:"peak_rss_bytes,omitempty"`
	Transactions    int64    `json:"transactions"` // of the database, that hold events
}

// PassCost is CPU time, user and system, in seconds per million events.
type PassCost struct {
	Own      *float64 `json:"own"`      // of projector or bare client
	Postgres *float64 `json:"postgres"` // of all its processes
	Broker   *float64 `json:"broker"`
}

// pass ends the measurement of what brought so many events into a read model.
func (w *watch) pass(name string, events, transactions int64) Pass {
	took := time.Since(w.began).Seconds()
	return Pass{
		Name: name, Events: events, Seconds: took, EventsPerSecond: float64(events) / took, Transactions: transactions,
		CPU: PassCost{Own: w.own.perMillion(events), Postgres: w.postgres.perMillion(events), Broker: w.broker.perMillion(events)},
	}
}
