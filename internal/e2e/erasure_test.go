package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// erase erases a customer as orderservice does.
func (p *pipeline) erase(log *eventlog.Log, customer int, headers map[string]string) eventlog.Erasure {
	p.Helper()
	done, err := log.Erase(p.Context(), customer, headers)
	if err != nil {
		p.Fatal(err)
	}
	return done
}

// An order of a customer who was erased before it was written. What an order's transaction holds of a customer keeps an erasure waiting
// until it is committed, and the other way round, so that the numbers of the rows tell which was first.
const ordersOfErased = `
SELECT count(*)
FROM outbox AS e
JOIN outbox AS o ON o.type = 'order.placed.v1' AND o.payload ->> 'customer_id' = e.payload ->> 'customer_id' AND o.seq > e.seq
WHERE e.type = 'customer.erased.v1'`

// TestCustomersAreErasedUnderLoadAndKills_I1_I4_I8 erases customers, each twice at once, while they order and relay and projectors die.
func TestCustomersAreErasedUnderLoadAndKills_I1_I4_I8(t *testing.T) {
	t.Parallel()
	const customers = 30
	p := setup(t, testenv.RealBroker(t))
	relay, projector := p.relay("relay"), p.projector("projector")
	traffic := p.traffic(60)
	p.flowing(100)
	log := eventlog.New(p.orders, slog.New(slog.DiscardHandler))
	for id := 1; id <= customers; id++ {
		var twins sync.WaitGroup
		var before [2]bool
		for i := range before {
			twins.Go(func() { before[i] = p.erase(log, id, nil).Before })
		}
		twins.Wait()
		if before[0] == before[1] {
			t.Errorf("customer %d, erased twice at once: before %v", id, before)
		}
		switch id % 5 {
		case 1:
			relay.kill()
			relay.start()
		case 3:
			projector.kill()
			projector.start()
		}
		moment := p.written() + 20
		p.until("more events are written", func() bool { return p.written() >= moment })
	}
	p.flowing(200)
	report := p.settle(traffic, 1000)
	if n := len(relay.pids) + len(projector.pids); n != 2+2*customers/5 {
		t.Errorf("%d processes of relay and projector, want that %d were killed", n, 2*customers/5)
	}
	aborted, skipped := p.aborted(), relay.total(relaySkipped)
	t.Logf("%d transactions broken off with %d records, at least %v read again and dropped", aborted.Transactions, aborted.Records, skipped)
	if report.Customers.Rows != customers {
		t.Errorf("the audit saw %d customers who were erased, want %d", report.Customers.Rows, customers)
	}
	if n := p.number(p.readModel, "SELECT count(*) FROM order_timeline WHERE type = $1", string(event.TypeCustomerErased)); n != customers {
		t.Errorf("the timeline has %d erasures, want %d", n, customers)
	}
	if n := p.number(p.readModel, "SELECT count(*) FROM dead_letters"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	if n := p.number(p.orders, ordersOfErased); n != 0 {
		t.Errorf("%d orders were placed by customers who had been erased", n)
	}
	if n := traffic.total(generatorErrors); n != 0 {
		t.Errorf("the generator counts %v errors: to be refused a customer is none", n)
	}
	r := p.rebuilding()
	p.until("the rebuild is done", r.over)
	if err := r.Wait(); err != nil || !strings.Contains(r.out.String(), "they are equal") {
		t.Errorf("rebuild: %v: %s", err, r.out.String())
	}
	p.verify(report.Source.Events)
}

// people are what must never be told of the customers: names, mail addresses and streets, in lower case.
func (p *pipeline) people() (secrets []string) {
	p.Helper()
	rows, _ := p.orders.Query(p.Context(), "SELECT name, email, address FROM customer_details") //nolint:rowserrcheck // ForEachRow checks it
	var name, email, address string
	_, err := pgx.ForEachRow(rows, []any{&name, &email, &address}, func() error {
		street, _, _ := strings.Cut(address, ",")
		mailbox, _, _ := strings.Cut(email, "@")
		secrets = append(secrets, strings.ToLower(name), mailbox, strings.ToLower(street))
		return nil
	})
	if err != nil || len(secrets) != 300 {
		p.Fatalf("%d things are known of the customers, %v", len(secrets), err)
	}
	return append(secrets, "@example.com", "larkhaven", "fernley", "oakport", "millbrook")
}

// leaks are the secrets that a text has.
func leaks(secrets []string, text []byte) (found []string) {
	text = bytes.ToLower(text)
	for _, secret := range secrets {
		if bytes.Contains(text, []byte(secret)) {
			found = append(found, secret)
		}
	}
	return found
}

// records are all that was ever written to the pipeline's topics, aborted records and markers too, as one text each.
func (p *pipeline) records() (texts [][]byte) {
	p.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers), kgo.ConsumeTopics(p.topic, p.topic+".checkpoint."+p.slot),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		p.Fatal(err)
	}
	defer client.Close()
	ends, err := p.admin().ListEndOffsets(p.Context(), p.topic, p.topic+".checkpoint."+p.slot)
	if err != nil || ends.Error() != nil {
		p.Fatal(err, ends.Error())
	}
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	for left := len(ends.Offsets()[p.topic]) + 1; left > 0; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			p.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			text := slices.Concat(r.Key, []byte{'\n'}, r.Value)
			for _, h := range r.Headers {
				text = fmt.Appendf(text, "\n%s: %s", h.Key, h.Value)
			}
			texts = append(texts, text)
			if end, _ := ends.Lookup(r.Topic, r.Partition); r.Offset == end.Offset-1 {
				left--
			}
		})
	}
	return texts
}

// asked gives the program a request, which must be answered with the status, or where that is 0 be refused.
func (g *program) asked(method, path, body string, status int) {
	g.Helper()
	r, err := http.NewRequestWithContext(g.Context(), method, g.url()+path, strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		g.Fatal(err)
	}
	defer answer.Body.Close()
	if refused := answer.StatusCode/100 == 4; answer.StatusCode != status && (status != 0 || !refused) {
		g.Fatalf("%s %s %s: got %d, want %d", method, path, body, answer.StatusCode, status)
	}
}

// TestNoPersonReachesTheTopicOrALog has each program say all that it can, while orders of all customers are placed, customers are looked up
// and erased, and requests are refused.
func TestNoPersonReachesTheTopicOrALog(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.Broker(t))
	secrets := p.people()
	var told bytes.Buffer
	log := eventlog.New(p.orders, slog.New(slog.NewJSONHandler(&told, &slog.HandlerOptions{Level: slog.LevelDebug})))
	p.erase(log, 100, nil) // which the relay loads out of the table
	relay, projector := p.relay("relay", collected...), p.projector("projector", collected...)
	p.until("the relay publishes", relay.ready)
	orders := p.orderservice(append([]string{"GENERATE=true", "RATE=80", "ORDERS=300"}, collected...)...)
	p.program("projector", "projector", "QUERY_LISTEN", []string{"serve"}, collected...).start()
	p.until("orders flow", func() bool { return p.applied() > 300 })

	for id := 1; id < 100; id++ {
		c, err := log.Customer(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&told, c, slog.Any("customer", c))
		orders.asked(http.MethodGet, fmt.Sprint("/v1/customers/", id), "", http.StatusOK)
		for _, body := range []string{`{"customer_id": %q}`, `{%q: 1}`, `{"customer_id": 1, "service": %q, "lines": []}`, `%q`} {
			orders.asked(http.MethodPost, "/v1/orders", fmt.Sprintf(body, c.Name+" "+c.Email+" "+c.Address), 0) // refused, some way or other
		}
		if id%4 == 0 {
			orders.asked(http.MethodDelete, fmt.Sprint("/v1/customers/", id), "", http.StatusOK)
			orders.asked(http.MethodGet, fmt.Sprint("/v1/customers/", id), "", http.StatusGone)
			_, err = log.Customer(t.Context(), id)
			fmt.Fprintln(&told, err)
		}
	}
	p.until("all orders are finished", func() bool { return orders.metric("generator_done") == 1 })
	p.until("all is applied", func() bool { return p.applied() == p.written() })
	p.verify(1000)

	texts := p.records()
	if written := int(p.written()); len(texts) < written {
		t.Fatalf("%d records were read, %d events written", len(texts), written)
	}
	for _, text := range texts {
		if found := leaks(secrets, text); len(found) > 0 {
			t.Errorf("a record has %q:\n%s", found, text)
		}
	}
	if found := leaks(secrets, told.Bytes()); len(found) > 0 {
		t.Errorf("the event log tells of %q", found)
	}
	for _, g := range p.programs {
		b, err := os.ReadFile(g.log)
		if err != nil {
			t.Fatal(err)
		}
		if found := leaks(secrets, b); len(found) > 0 {
			t.Errorf("%s tells of %q", g.name, found)
		}
	}
	for g, msg := range map[*program]string{orders: "event accepted", relay: "event published", projector: "event applied"} {
		if len(g.lines(msg)) < 1000 {
			t.Errorf("%s does not tell of the events: it is not at its debug level", g.name)
		}
	}

	// A name in a header is found, so none was overlooked.
	p.erase(log, 99, map[string]string{event.HeaderActor: "Sami Ginger"})
	p.until("it is applied", func() bool { return p.applied() == p.written() })
	var found []string
	for _, text := range p.records() {
		found = append(found, leaks(secrets, text)...)
	}
	if !slices.Equal(found, []string{"sami ginger"}) {
		t.Errorf("of one name in a header %q was found", found)
	}
}
