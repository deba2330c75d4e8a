package order

import "fmt"

// RuleError says which rule of the life cycle a command breaks. Nothing has happened to the order.
type RuleError struct {
	Rule   Rule   // stable, for programs
	Field  string // the command's field that breaks the rule, e.g. "lines[2].quantity"; empty when the order's state does
	Detail string // for people
}

// Error implements error.
func (e *RuleError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s: %s", e.Rule, e.Detail)
	}
	return fmt.Sprintf("%s: %s: %s", e.Rule, e.Field, e.Detail)
}

// Rule is the machine name of a rule. Names are never changed or used again for something else.
type Rule string

// Rules that an order's state can break: the same command may be right at another time.
const (
	RuleNotPlaced       Rule = "not_placed"        // the order was not placed yet
	RuleAlreadyPlaced   Rule = "already_placed"    // the order was placed already
	RuleState           Rule = "state"             // fulfilment does not allow it now
	RuleService         Rule = "service"           // pickups are not dispatched, deliveries not collected
	RulePaymentState    Rule = "payment_state"     // payment does not allow it now
	RuleCancelParty     Rule = "cancel_party"      // the customer cannot cancel what is being prepared
	RuleOneOpenRefund   Rule = "one_open_refund"   // a refund is open already
	RuleNoOpenRefund    Rule = "no_open_refund"    // no refund is open
	RuleNothingToRefund Rule = "nothing_to_refund" // no captured money is left
	RuleRatedOnce       Rule = "rated_once"        // an order is rated once
	RuleLastLine        Rule = "last_line"         // an order keeps at least one line
	RuleNothingChanged  Rule = "nothing_changed"   // the order has these lines already
)

// Rules that a command's fields can break.
const (
	RuleRequired   Rule = "required"    // the field is missing or empty
	RuleTooLong    Rule = "too_long"    // too many lines or bytes
	RuleText       Rule = "text"        // not UTF-8, or has a control character
	RuleRange      Rule = "range"       // a number is out of its bounds
	RuleChoice     Rule = "choice"      // not one of the known words
	RuleCurrency   Rule = "currency"    // malformed, or not the order's one currency
	RuleSameItem   Rule = "same_item"   // one line per item
	RuleNotOrdered Rule = "not_ordered" // the order has no line of this item
	RuleAuthorized Rule = "authorized"  // the new total is above what was authorized
	RuleRefundable Rule = "refundable"  // more than what was captured and not refunded
	RuleCustomer   Rule = "customer"    // no such customer
)
