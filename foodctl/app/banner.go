package app

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// banner says what runs where, what is kept, how to stop it, and what to try.
func banner(s *session, c *upCmd, dir *stack.Directory, page string) string {
	var b strings.Builder
	fmt.Fprintln(&b, "foodctl", ops.Version())
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	row := func(name, where, what string) { fmt.Fprintf(w, "  %s\t%s\t%s\n", name, where, what) }
	if c.Chaos {
		row("live page", page, "watch it drain, and break it; the token is for you alone")
	} else {
		row("live page", page, "watch it drain; with --allow-chaos break it from there")
	}
	row("orders API", s.OrderService.URL, fmt.Sprintf("orderservice, pid %d, %s", s.OrderService.Pid(), pace(c)))
	for _, p := range slices.Concat(s.Relays, s.Projectors) {
		row(p.Name(), p.URL+"/metrics", fmt.Sprintf("pid %d", p.Pid()))
	}
	row("query API", s.Query.URL, fmt.Sprintf("pid %d, e.g. curl %s/v1/customers/7/orders", s.Query.Pid(), s.Query.URL))
	row("Postgres", s.Postgres(), keptDatabase(s, c, dir))
	row("Kafka", s.Brokers(), keptTopic(s, c))
	row("logs", filepath.Join(dir.Path, "log"), "")
	_ = w.Flush() // to memory
	for _, note := range s.Notes() {
		fmt.Fprintf(&b, "  note: %s\n", note)
	}
	if len(s.Relays) == 1 {
		fmt.Fprintf(&b, "Try: kill -9 %d   (the relay: it comes back, and nothing is lost or sent twice)\n", s.Relays[0].Pid())
	} else {
		fmt.Fprintln(&b, "Try: kill -9 the relay that publishes, as the page says: the other takes over, and nothing is lost or sent twice")
	}
	fmt.Fprintln(&b, "Stop: Ctrl-C; a second one stops at once. Begin anew: foodctl up --reset")
	return b.String()
}

func pace(c *upCmd) string {
	if c.Rate == 0 {
		return "generating orders as fast as it can"
	}
	return fmt.Sprintf("generating %v orders/s", c.Rate)
}

func keptDatabase(s *session, c *upCmd, dir *stack.Directory) string {
	databases := fmt.Sprintf("databases %s and %s, ", s.names.OrdersDB, s.names.ReadModelDB)
	if c.DatabaseURL != "" {
		return databases + "kept there"
	}
	return databases + fmt.Sprintf("pid %d, kept in %s", s.PostgresPID(), filepath.Join(dir.Path, "postgres"))
}

func keptTopic(s *session, c *upCmd) string {
	if c.Brokers != "" {
		return fmt.Sprintf("topic %s, kept there", s.names.Topic)
	}
	text := fmt.Sprintf("dev broker, topic %s, in memory only", s.names.Topic)
	if s.Refilled {
		return text + ": filled again from the outbox"
	}
	return text + ": filled again from the outbox at each start"
}
