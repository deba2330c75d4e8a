package eventlog

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// Errors that callers tell apart. A command that breaks a rule of the life cycle gives an *order.RuleError instead.
var (
	// ErrNotFound: there is no such order.
	ErrNotFound = errors.New("no such order")

	// ErrConflict: somebody else changed the order. Nothing was written.
	ErrConflict = errors.New("the order was changed in the meantime")

	// ErrNotExpected is the ErrConflict of an order that is not at the version that the command expects.
	ErrNotExpected = fmt.Errorf("%w: it is not at the expected version", ErrConflict)

	// ErrKeyReused: the idempotency key belongs to another request. Nothing was written.
	ErrKeyReused = errors.New("the idempotency key was used for another request")

	// ErrKeyInUse: a command with the same key is running and did not end in time. Nothing was written; try again.
	ErrKeyInUse = errors.New("a command with the same idempotency key is still running")

	// ErrUnavailable: the database could not be asked. Nothing was written.
	ErrUnavailable = errors.New("the orders database is not available")

	// ErrOutcomeUnknown: the connection was lost while the command was being committed, and what became of it could not
	// be found out. Give it again with the same key, or load the order and look.
	ErrOutcomeUnknown = errors.New("it is not known whether the command was committed")

	// errKeyTaken: the idempotency key exists. Reading it tells whose it is.
	errKeyTaken = errors.New("the idempotency key exists")
)

// definite is a conflict that a decision has seen: the order has moved on, and no attempt can succeed any more.
type definite struct{ error }

// Unwrap implements the errors package's interface.
func (d definite) Unwrap() error { return d.error }

// passing reports whether a fresh attempt may succeed at once: another writer was faster, or the connection broke. What
// Postgres refused after waiting, or for want of something, is for the caller to try again.
func passing(err error) bool {
	_, moved := errors.AsType[definite](err)
	pg, answered := errors.AsType[*pgconn.PgError](err)
	if moved || answered && pg.SeverityUnlocalized == "ERROR" {
		return false
	}
	return errors.Is(err, ErrConflict) || errors.Is(err, errKeyTaken) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown)
}

// SQLSTATEs (PostgreSQL documentation, appendix A).
const (
	uniqueViolation  = "23505"
	notNullViolation = "23502"
	divisionByZero   = "22012"
	lockNotAvailable = "55P03"
	serialization    = "40001"
	deadlock         = "40P01"
	queryCanceled    = "57014"
	readOnly         = "25006"
)

// translateWrite turns an error of a transaction that was sent into one of this package's.
func translateWrite(err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR":
		return translateRefusal(pg)
	case pgconn.SafeToRetry(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		// Cut off, cancelled, or told FATAL (57P01 and its kin): all of that can come after the commit.
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
}

// translateRefusal is given an error that Postgres raised in the transaction, which is thereby rolled back.
func translateRefusal(pg *pgconn.PgError) error {
	constraint := ""
	if pg.Code == uniqueViolation {
		constraint = pg.ConstraintName
	}
	switch constraint {
	case "idempotency_keys_pkey":
		return errKeyTaken
	case "orders_pkey", "outbox_version_unique":
		return ErrConflict
	}
	switch {
	case pg.Code == notNullViolation && pg.TableName == "orders" && pg.ColumnName == "customer_id": // see insertState
		return &order.RuleError{Rule: order.RuleCustomer, Field: "customer_id", Detail: "there is no such customer, or it was erased"}
	case pg.Code == divisionByZero, pg.Code == serialization, pg.Code == deadlock:
		return ErrConflict
	// The error's context tells which of the waits of Append was too long.
	case pg.Code == lockNotAvailable && strings.Contains(pg.Where, "idempotency_keys"):
		return fmt.Errorf("%w: %w", ErrKeyInUse, pg)
	case pg.Code == lockNotAvailable && strings.Contains(pg.Where, `"customers"`):
		return fmt.Errorf("%w: %w", ErrCustomerLocked, pg)
	case pg.Code == lockNotAvailable && pg.Where == "": // of a whole table, which a migration holds
		return fmt.Errorf("%w: %w", ErrUnavailable, pg)
	case pg.Code == lockNotAvailable:
		return fmt.Errorf("%w: %w", ErrConflict, pg)
	case short(pg):
		return fmt.Errorf("%w: %w", ErrUnavailable, pg)
	default:
		return pg
	}
}

// short reports whether Postgres lacks something for the time being: memory, disk or connections (class 53), the time
// that statement_timeout gives, or, on a standby, the right to write.
func short(pg *pgconn.PgError) bool {
	return strings.HasPrefix(pg.Code, "53") || pg.Code == queryCanceled || pg.Code == readOnly
}

// translateRead turns an error of a statement that changes nothing into one of this package's. Whether it ran does not
// matter, so a lost connection is no more than that.
func translateRead(err error) error {
	if lost(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// lost reports whether the database was not reached, broke off, is going down, or is short of something.
func lost(err error) bool {
	if pg, answered := errors.AsType[*pgconn.PgError](err); answered {
		return pg.SeverityUnlocalized != "ERROR" || short(pg)
	}
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	return connect || network || pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
