package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// TestEvery2xxIsInTheLogOnceOverKillsOfTheAPI_I12 has clients place and pay orders, and ask again with the same key until
// they are answered, while the orderservice is killed again and again.
func TestEvery2xxIsInTheLogOnceOverKillsOfTheAPI_I12(t *testing.T) {
	t.Parallel()
	const clients, deaths = 6, 10
	p := setup(t, testenv.RealBroker(t))
	dice := p.dice()
	p.relay("relay")
	p.projector("projector")
	api := p.orderservice()
	p.until("the API is ready", api.ready)

	b := &book{url: api.url()}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var working sync.WaitGroup
	for range clients {
		working.Go(func() { b.work(ctx) })
	}
	for range deaths {
		moment := p.written() + 20 + dice.Int64N(60)
		p.until("requests have come through", func() bool { return p.written() >= moment || b.wrong() != nil })
		api.kill()
		api.start()
	}
	stop() // those that are under way are asked until they are answered
	working.Wait()
	b.hold(p)
	p.settle(api, 200)
	t.Logf("%d orders; %d attempts were not answered, %d answers were of an earlier attempt",
		len(b.orders), b.broken.Load(), b.replayed.Load())
	if b.broken.Load() < deaths {
		t.Errorf("%d deaths broke %d requests: they were not felt", deaths, b.broken.Load())
	}
}

// book is what the clients were told.
type book struct {
	url              string
	broken, replayed atomic.Int64

	mu     sync.Mutex  // guards what follows
	orders []uuid.UUID // placed with one key and paid with another
	faults error
}

// work places and pays orders until ctx ends, and does not leave one half done.
func (b *book) work(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		if err := b.order(client); err != nil {
			b.mu.Lock()
			b.faults = errors.Join(b.faults, err)
			b.mu.Unlock()
			return
		}
	}
}

// wrong is what the clients were told that they must not be.
func (b *book) wrong() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults
}

// order places one and pays it.
func (b *book) order(client *http.Client) error {
	placed, err := b.insist(client, "/v1/orders", `{"customer_id": 7, "service": "delivery", "lines": [{"item_id": 3, "quantity": 2}]}`, http.StatusCreated)
	if err != nil {
		return err
	}
	paid, err := b.insist(client, "/v1/orders/"+placed.ID.String()+"/pay", `{}`, http.StatusOK)
	if err != nil {
		return err
	}
	if paid.ID != placed.ID {
		return fmt.Errorf("order %s was placed, %s paid", placed.ID, paid.ID)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders = append(b.orders, placed.ID)
	return nil
}

// answer is as much of one as the book needs.
type answer struct {
	ID uuid.UUID `json:"id"`
}

// insist asks with one key until there is a 2xx. Nothing else but silence and 5xx may come instead.
func (b *book) insist(client *http.Client, path, body string, want int) (answer, error) {
	key := uuid.NewString()
	for deadline := time.Now().Add(patience); ; {
		a, code, replayed, err := b.post(client, path, body, key)
		switch {
		case err == nil && code == want:
			if replayed {
				b.replayed.Add(1)
			}
			return a, nil
		case err == nil && code < 500:
			return a, fmt.Errorf("POST %s: got %d, want %d", path, code, want)
		case time.Now().After(deadline):
			return a, fmt.Errorf("POST %s: no answer within %s: %d, %w", path, patience, code, err)
		}
		b.broken.Add(1)
	}
}

func (b *book) post(client *http.Client, path, body, key string) (a answer, code int, replayed bool, err error) {
	request, err := http.NewRequest(http.MethodPost, b.url+path, strings.NewReader(body))
	if err != nil {
		return a, 0, false, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := client.Do(request)
	if err != nil {
		return a, 0, false, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode < 300 {
		err = json.Unmarshal(said, &a)
	}
	return a, response.StatusCode, response.Header.Get("Idempotency-Replayed") == "true", err
}

// hold holds the book against the outbox: each order of it is there with its two events, and there is no other.
func (b *book) hold(p *pipeline) {
	p.Helper()
	if err := b.wrong(); err != nil {
		p.Fatal(err)
	}
	const whole = `
SELECT count(*) FROM (
	SELECT 1 FROM outbox WHERE aggregateid = ANY ($1)
	GROUP BY aggregateid HAVING array_agg(version ORDER BY version) = '{1,2}')`
	if got := p.number(p.orders, whole, b.orders); got != int64(len(b.orders)) {
		p.Errorf("%d orders are in the log as they were answered, want %d", got, len(b.orders))
	}
	if got := p.number(p.orders, "SELECT count(DISTINCT aggregateid) FROM outbox"); got != int64(len(b.orders)) {
		p.Errorf("the log has %d orders, the clients were told of %d", got, len(b.orders))
	}
}
