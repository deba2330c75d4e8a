package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

const description = `Takes orders and keeps them as events. What was answered with 2xx is committed with its events, which reach the topic exactly once.

**Retries.** Send an Idempotency-Key with every POST, and give the request again with the same key whenever you did not get its answer: it has one effect and one answer, for a day unless the program was told otherwise.

**Concurrency.** Each answer about an order has its version as ETag. A POST with If-Match is done only if the order is still at that version.

**Errors** are problems (RFC 9457). Their type resolves to what can be done; errors has a JSON pointer to each field that is wrong. One with Retry-After may be given again.`

// globals are huma's settings that are not part of a configuration. They are the same for every API of this package.
var globals = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true // "Reason" is no field of ours, although Go's decoder would take it
	huma.ErrorFormatter = func(format string, about ...any) string {
		for i, a := range about {
			if bound, is := a.(float64); is {
				about[i] = strconv.FormatFloat(bound, 'f', -1, 64) // 2147483647, not 2.147483647e+09
			}
		}
		return fmt.Sprintf(format, about...)
	}
	// What huma finds is told by the edge, like every other error.
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, found ...error) huma.StatusError {
		exchangeOf(ctx.Context()).err = unfit(ctx, status, message, found)
		return new(told)
	}
	huma.NewError = func(int, string, ...error) huma.StatusError { return new(told) }
})

// documented returns the API without operations.
func (a *api) documented() huma.API {
	globals()
	return huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Orders", Version: "1", Description: description},
			Tags: []*huma.Tag{
				{Name: "orders", Description: "Place orders and look at them."},
				{Name: "commands", Description: "What can happen to an order. Each is refused with 409 when the order's state does not allow it."},
				{Name: "customers", Description: "What is known of who orders, and how it is erased."},
				{Name: "menu", Description: "What there is to order."},
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "Where the program runs with --token-file. GET takes the scope read, POST command, DELETE and what shows a customer admin."},
				},
			},
			Security: []map[string][]string{{}, {"token": {}}}, // none is needed where it runs without
		},
		Formats: map[string]huma.Format{
			"application/json": {Marshal: encode, Unmarshal: decode},
			"json":             {Marshal: encode}, // of application/problem+json
		},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}, a)
}

func encode(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

// decode is given a body that is known to be JSON which fits any decoder, to be held to the schema and then as the type of the operation. So
// it fails only for what that type does not hold and the schema has no word for.
func decode(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return fmt.Errorf("%s: the JSON %s does not fit here", wrong.Field, wrong.Value)
	}
	return err
}

// schemaName is what the document calls a type.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[view]():
		return "Order"
	case reflect.TypeFor[happening]():
		return "Event"
	case reflect.TypeFor[told]():
		return "Problem"
	default:
		return huma.DefaultSchemaNamer(t, hint)
	}
}
