package api

import (
	"net/http"
	"testing"
)

func TestWholeNumbersAreReadAsDigits(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"100": "100", "1e0": "1", "7.0": "7", "-2.50e1": "-25", "0.0": "0", "-0.0": "0", "1E2": "100",
		"1.5": "1.5", "1e-1": "1e-1", // for the schema to refuse
		"9007199254740992.0": "9007199254740992", "9007199254740994.0": "9007199254740994.0", // a double might be another one
		"1e400": "", "-1e999": "",
	} {
		if got, ok := whole(number); ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %s, %t, want %s", number, got, ok, want)
		}
	}
	s := setup(t)
	const key = "as I write it"
	written := s.post("/v1/orders", `{"customer_id": 7.0 ,"service":"pickup","lines":[{"item_id":30e-1,"quantity":0.2E1},{"item_id":4,"quantity":1}]}`, "Idempotency-Key", `"`+key+`"`)
	o := written.order(t)
	if written.code != http.StatusCreated || o.CustomerID != 7 || o.Lines[0].ItemID != 3 || o.Lines[0].Quantity != 2 || o.Lines[1].ItemID != 4 {
		t.Errorf("got %d %s", written.code, written.body)
	}
	again := s.post("/v1/orders", `{"customer_id":7,"service":"pickup","lines":[{"item_id":3,"quantity":2},{"item_id":4,"quantity":1}]}`, "Idempotency-Key", `"`+key+`"`)
	if again.body != written.body || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the same request in digits: got %d %s, want the same answer", again.code, again.body)
	}
}
