package event

import (
	"strconv"

	"github.com/google/uuid"
)

// TypeCustomerErased is the one type of event that is about a customer and no order.
const TypeCustomerErased Type = "customer.erased.v1"

// CustomerErased means that what was known of a customer as a person is deleted. Whoever keeps personal data beside the id that
// events have must delete it too. Nothing happens to the customer afterwards: it is version 1 and the last one.
type CustomerErased struct {
	CustomerID int `json:"customer_id"`
}

// Type implements Data.
func (CustomerErased) Type() Type { return TypeCustomerErased }

// customers is the namespace of customers' keys (RFC 9562 section 5.5). It is part of what was written, and never changes.
var customers = uuid.MustParse("068e4a89-2fc6-47d0-afa0-566a3145b0fd")

// CustomerKey is a customer as the aggregate of an event: an aggregate's id is a UUID, and a customer's a number. It is the same
// for everyone who knows the number, and no secret.
func CustomerKey(id int) uuid.UUID {
	return uuid.NewSHA1(customers, strconv.AppendInt(nil, int64(id), 10))
}
