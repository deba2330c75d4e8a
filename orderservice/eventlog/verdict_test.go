package eventlog

import (
	"errors"
	"io"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func refusal(code, constraint, where string) *pgconn.PgError {
	return &pgconn.PgError{SeverityUnlocalized: "ERROR", Code: code, ConstraintName: constraint, Where: where}
}

func TestErrorsAreTranslatedByCodeAndConstraint(t *testing.T) {
	t.Parallel()
	fatal := &pgconn.PgError{SeverityUnlocalized: "FATAL", Code: "57P01"}
	for name, c := range map[string]struct {
		err     error
		want    error
		passing bool
	}{
		"compare-and-set": {refusal(divisionByZero, "", ""), ErrConflict, true},
		"placed at once":  {refusal(uniqueViolation, "orders_pkey", ""), ErrConflict, true},
		"event exists":    {refusal(uniqueViolation, "outbox_version_unique", ""), ErrConflict, true},
		"deadlock":        {refusal(deadlock, "", ""), ErrConflict, true},
		"serialization":   {refusal(serialization, "", ""), ErrConflict, true},
		"key exists":      {refusal(uniqueViolation, "idempotency_keys_pkey", ""), errKeyTaken, true},
		"key locked":      {refusal(lockNotAvailable, "", `in relation "idempotency_keys"`), ErrKeyInUse, false},
		"row locked":      {refusal(lockNotAvailable, "", `in relation "orders"`), ErrConflict, false},
		"customer locked": {refusal(lockNotAvailable, "", `while locking tuple (0,7) in relation "customers"`), ErrCustomerLocked, false},
		"table locked":    {refusal(lockNotAvailable, "", ""), ErrUnavailable, false},
		"too slow":        {refusal(queryCanceled, "", ""), ErrUnavailable, false},
		"disk full":       {refusal("53100", "", ""), ErrUnavailable, false},
		"standby":         {refusal(readOnly, "", ""), ErrUnavailable, false},
		"going down":      {fatal, ErrOutcomeUnknown, true},
		"cut off":         {io.ErrUnexpectedEOF, ErrOutcomeUnknown, true},
	} {
		got := translateWrite(c.err)
		if !errors.Is(got, c.want) || passing(got) != c.passing {
			t.Errorf("%s: got %v, passing %v; want %v, %v", name, got, passing(got), c.want, c.passing)
		}
	}
	if got := translateWrite(refusal("23514", "outbox_payload_size", "")); passing(got) || errors.Is(got, ErrUnavailable) {
		t.Errorf("a broken constraint became %v", got)
	}
}

// A command whose first attempt may still commit must not be said to have had no effect, unless that is seen.
func TestUnsettledAttemptKeepsTheOutcomeUnknown_I12(t *testing.T) {
	t.Parallel()
	x := &execution{unsettled: []uuid.UUID{uuid.New()}}
	for name, err := range map[string]error{
		"row locked": translateWrite(refusal(lockNotAvailable, "", "")),
		"key locked": translateWrite(refusal(lockNotAvailable, "", "idempotency_keys")),
		"too slow":   translateWrite(refusal(queryCanceled, "", "")),
		"conflict":   ErrConflict, // the winner may be that attempt
		"away":       ErrUnavailable,
		"erased":     &order.RuleError{Rule: order.RuleCustomer}, // perhaps after that attempt
	} {
		if got := x.verdict(err); !errors.Is(got, ErrOutcomeUnknown) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for name, err := range map[string]error{
		"rule": &order.RuleError{Rule: order.RuleState}, "moved on": definite{ErrConflict}, "key of another": ErrKeyReused,
	} {
		if got := x.verdict(err); errors.Is(got, ErrOutcomeUnknown) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
