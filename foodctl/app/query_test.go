package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What a client ordered through the one API, it reads from the other, however far the projector is.
func TestWhatIsOrderedIsReadWithItsToken(t *testing.T) {
	t.Parallel()
	_, flags, ports := place(t)
	p := foodctl(t, append(flags, "--rate=50")...)
	p.flowing()
	order := func(customer int) (id, token string) {
		t.Helper()
		body := strings.NewReader(fmt.Sprintf(`{"customer_id": %d, "service": "pickup", "lines": [{"item_id": 3, "quantity": 2}]}`, customer))
		answer, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/v1/orders", ports.OrderService), "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusCreated {
			t.Fatalf("ordered: %s", answer.Status)
		}
		return strings.TrimPrefix(answer.Header.Get("Location"), "/v1/orders/"), answer.Header.Get("Order-Version")
	}
	for i := range 10 {
		customer := 1 + i
		id, token := order(customer)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/v1/customers/%d/orders?limit=200", ports.Query, customer), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Read-After", token)
		r.Header.Set("Prefer", "wait=30")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var page struct {
			Orders []struct{ ID string }
		}
		if err := json.NewDecoder(answer.Body).Decode(&page); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", answer.Status, err)
		}
		found := false
		for _, o := range page.Orders {
			found = found || o.ID == id
		}
		if !found {
			t.Errorf("order %s is not among the %d of customer %d", id, len(page.Orders), customer)
		}
	}
}
