package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/browser"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func TestDocumentIsOpenAPI31AndHasEveryOperation(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.get("/openapi.json")
	var document struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ OperationID, Summary string }
	}
	if err := json.Unmarshal([]byte(r.body), &document); err != nil || document.OpenAPI != "3.1.0" {
		t.Fatalf("got %d %.200s (%v), want OpenAPI 3.1", r.code, r.body, err)
	}
	for path, methods := range document.Paths {
		for method, op := range methods {
			if _, pattern := s.mux.Handler(httptest.NewRequestWithContext(t.Context(), strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "x"), nil)); pattern == "/" || op.Summary == "" {
				t.Errorf("%s %s: %+v, served as %q", method, path, op, pattern)
			}
		}
	}
	if n := len(document.Paths); n != len(s.verbs())+5 {
		t.Errorf("got %d paths, want the verbs, an order, its events, the orders, the menu and a customer", n)
	}
}

func TestEachCommandTakesTheHeadersOfCommands(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, verb := range s.verbs() {
		var names []string
		for _, p := range s.huma.OpenAPI().Paths["/v1/orders/{id}/"+verb].Post.Parameters {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		if want := []string{"Correlation-Id", "Idempotency-Key", "If-Match", "Traceparent", "id"}; !slices.Equal(names, want) {
			t.Errorf("%s: got %v, want %v", verb, names, want)
		}
	}
}

// What the document says of a field is what the order's rules say: a bound that only one of the two has would refuse what
// is right, or promise what is refused.
func TestDocumentHasTheOrdersBounds(t *testing.T) {
	t.Parallel()
	s := setup(t)
	schemas := s.huma.OpenAPI().Components.Schemas.Map()
	for name, schema := range schemas {
		for field, f := range schema.Properties {
			if slices.Contains([]string{"reason", "comment"}, field) && *f.MaxLength != order.MaxText {
				t.Errorf("%s.%s: at most %d, want %d", name, field, *f.MaxLength, order.MaxText)
			}
		}
	}
	if got := *schemas["Dispatch"].Properties["courier"].MaxLength; got != order.MaxName {
		t.Errorf("courier: at most %d, want %d", got, order.MaxName)
	}
	if got := *schemas["Placement"].Properties["lines"].MaxItems; got != order.MaxLines {
		t.Errorf("at most %d lines, want %d", got, order.MaxLines)
	}
	if got := *schemas["Position"].Properties["quantity"].Maximum; got != order.MaxQuantity {
		t.Errorf("quantity: at most %v, want %d", got, order.MaxQuantity)
	}
	for _, c := range []struct {
		schema, field string
		words         []string
	}{
		{"Placement", "service", []string{string(event.Delivery), string(event.Pickup)}},
		{"Cancel", "by", []string{string(order.Customer), string(order.Kitchen), string(order.Support)}},
		{"Order", "fulfilment", words(order.Placed, order.Confirmed, order.Accepted, order.Preparing, order.Ready, order.InDelivery,
			order.Completed, order.Rejected, order.Cancelled, order.DeliveryFailed, order.Expired)},
		{"Order", "payment", words(order.PaymentNone, order.PaymentAuthorized, order.PaymentCaptured, order.PaymentVoided,
			order.PaymentPartiallyRefunded, order.PaymentRefunded, order.PaymentFailed)},
	} {
		if got := schemas[c.schema].Properties[c.field].Enum; !reflect.DeepEqual(got, anys(c.words)) {
			t.Errorf("%s.%s: got %v, want %v", c.schema, c.field, got, c.words)
		}
	}
}

func words[S ~string](s ...S) (words []string) {
	for _, w := range s {
		words = append(words, string(w))
	}
	return words
}

func anys(words []string) (a []any) {
	for _, w := range words {
		a = append(a, w)
	}
	return a
}

func TestEachAnswerFitsTheDocument(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	for _, c := range []struct {
		schema string
		answer reply
	}{
		{"Order", s.post("/v1/orders", soup)},
		{"Order", s.get(path)},
		{"Problem", s.post(path+"/deliver", ``)},
		{"Problem", s.post("/v1/orders", `{}`)},
		{"History", s.get(path + "/events")},
		{"Menu", s.get("/v1/menu")},
		{"Person", s.get("/v1/customers/3")},
		{"Erasure", s.send(http.MethodDelete, "/v1/customers/3", nil)},
	} {
		var body any
		if err := json.Unmarshal([]byte(c.answer.body), &body); err != nil {
			t.Fatal(err)
		}
		schemas := s.huma.OpenAPI().Components.Schemas
		found := new(huma.ValidateResult)
		huma.Validate(schemas, schemas.Map()[c.schema], huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, body, found)
		for _, err := range found.Errors {
			t.Errorf("%d %s: %v", c.answer.code, c.schema, err)
		}
	}
}

// The page is shown by a real browser, which asks nobody but the server: the test fails for each error in its console, and
// what the policy blocks is one.
func TestDocsAreServedFromTheBinary(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := httptest.NewServer(s)
	defer server.Close()
	for _, file := range []string{"/docs", "/docs/page.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/favicon-32x32.png"} {
		if r := s.get(file); r.code != http.StatusOK || !strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: got %d and policy %q", file, r.code, r.header.Get("Content-Security-Policy"))
		}
	}
	look := browser.Desk
	look.Started = "Boolean(window.SwaggerUIBundle)"
	page := browser.Start(t).Open(server.URL+"/docs", look)
	page.Until(`document.querySelector('#operations-orders-place-order') !== null`)
	page.Click("#operations-orders-place-order button.opblock-summary-control")
	page.Until(`document.querySelector('#operations-orders-place-order .opblock-body')?.textContent.includes('Idempotency-Key')`)
	if asked := page.Eval(`performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith(location.origin) && !n.startsWith('data:')).join(' ')`); asked != "" {
		t.Errorf("the page asks others: %s", asked)
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		page.Shoot(filepath.Join(dir, "api.png"))
	}
}
