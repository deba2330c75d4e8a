package app

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
)

// result is what a run came to, in the JSON form.
type result struct {
	Orders       int64          `json:"orders"`
	Events       int64          `json:"events"`
	PlaceSeconds float64        `json:"place_seconds"` // from the first order's first event to the last order's first
	TotalSeconds float64        `json:"total_seconds"` // from the first event to the last one's arrival in the read model
	OrdersRate   float64        `json:"orders_per_second"`
	EventsRate   float64        `json:"events_per_second"` // all the way, over TotalSeconds
	Programs     []programUsage `json:"programs"`
}

type programUsage struct {
	Name       string  `json:"name"`
	CPUSeconds float64 `json:"cpu_seconds"`
	MaxRSS     int64   `json:"max_rss_bytes"`
	Starts     int     `json:"starts"`
}

// report prints the rates of what this run wrote and what each program used for it.
func (s *session) report(ctx context.Context) error {
	arrived := time.Now()
	written, err := s.Written(ctx)
	if err != nil {
		return err
	}
	r := result{
		Orders: written.Orders, Events: written.Events, PlaceSeconds: written.Last.Sub(written.First).Seconds(),
		TotalSeconds: arrived.Sub(written.First).Seconds(), Programs: s.usages(),
	}
	if written.Events > 0 {
		r.OrdersRate = float64(r.Orders) / max(r.PlaceSeconds, 0.001)
		r.EventsRate = float64(r.Events) / max(r.TotalSeconds, 0.001)
	}
	s.screen.Object(r)
	s.screen.Text(r.String())
	return nil
}

// usages is what each program used, this one among them: it holds the dev broker.
func (s *session) usages() []programUsage {
	var us []programUsage
	add := func(name string, u supervise.Usage) {
		us = append(us, programUsage{name, u.CPU.Seconds(), u.MaxRSS, u.Starts})
	}
	for _, p := range s.Programs() {
		add(p.Name(), p.Usage())
	}
	add("foodctl", supervise.Of(os.Getpid()))
	if pid := s.PostgresPID(); pid != 0 {
		add("postgres", supervise.Family(pid))
	}
	return us
}

// String is a table.
func (r result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d orders placed in %.1f s (%.0f orders/s); %d events, all the way in %.1f s (%.0f events/s)\n",
		r.Orders, r.PlaceSeconds, r.OrdersRate, r.Events, r.TotalSeconds, r.EventsRate)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "program\tCPU s\tmax RSS MB\tstarts\t")
	for _, p := range r.Programs {
		memory := "-" // the processes of Postgres share most of theirs
		if p.MaxRSS > 0 {
			memory = fmt.Sprintf("%.0f", float64(p.MaxRSS)/1e6)
		}
		fmt.Fprintf(w, "%s\t%.1f\t%s\t%d\t\n", p.Name, p.CPUSeconds, memory, p.Starts)
	}
	_ = w.Flush() // to memory
	return b.String()
}
