package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/console"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
)

// roleMetric is 1 with the role that a relay has, as its label role.
const roleMetric = "relay_role"

// relays follows which relay publishes, by what they say of themselves.
type relays struct {
	asker  status.Asker
	names  []string
	urls   []string
	active string // "" while none does
	last   string // who was active last
	asked  bool   // at least once

	refused string // what one said that wants another token
}

func newRelays(asker status.Asker, programs []console.Program) *relays {
	r := &relays{asker: asker}
	for _, p := range programs {
		r.names, r.urls = append(r.names, p.Name), append(r.urls, p.URL)
	}
	return r
}

func relaysOf(programs []*stack.Program) *relays {
	r := &relays{}
	for _, p := range programs {
		r.names, r.urls = append(r.names, p.Name()), append(r.urls, p.URL)
	}
	return r
}

// look asks them, and returns what is new, "" if nothing is.
func (r *relays) look(ctx context.Context) string {
	active, refused := "", ""
	for i, url := range r.urls {
		m, err := r.asker.Scrape(ctx, url)
		if _, is := errors.AsType[auth.Refusal](err); is {
			refused = err.Error()
		}
		// Two say it for a moment when one wakes that was paused. It is not the one that was found publishing since.
		if err == nil && m.Is(roleMetric, "role", "active") && (active == "" || r.names[i] == r.active) {
			active = r.names[i]
		}
	}
	told := refused == r.refused
	switch r.refused = refused; {
	case refused != "" && told:
		return ""
	case refused != "": // it may be the one that publishes
		return refused
	}
	first := !r.asked
	if ctx.Err() != nil || active == r.active && !first {
		return ""
	}
	last := r.last
	r.active, r.asked = active, true
	if active != "" {
		r.last = active
	}
	switch {
	case len(r.urls) == 0:
		return ""
	case active == "" && first:
		return "no relay publishes; new orders are safe in the outbox"
	case active == "":
		return last + " publishes no longer; new orders are safe in the outbox"
	case last == "":
		return active + " publishes"
	case last == active:
		return active + " publishes again"
	}
	return fmt.Sprintf("%s has taken over from %s", active, last)
}
