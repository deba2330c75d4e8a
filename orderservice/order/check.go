package order

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// broken is the error of a command that the order's state does not allow.
func broken(rule Rule, detail string, args ...any) *RuleError {
	return &RuleError{Rule: rule, Detail: fmt.Sprintf(detail, args...)}
}

// refused is the error of a command whose field is wrong.
func refused(field string, rule Rule, detail string, args ...any) *RuleError {
	return &RuleError{Rule: rule, Field: field, Detail: fmt.Sprintf(detail, args...)}
}

// checkLines holds the lines to their bounds: MaxLines * MaxQuantity * MaxUnitPrice is far below the largest int64, so
// that no sum of checked lines overflows.
func checkLines(lines []event.Line) error {
	if len(lines) == 0 {
		return refused("lines", RuleRequired, "an order has at least one line")
	}
	if len(lines) > MaxLines {
		return refused("lines", RuleTooLong, "%d lines, at most %d", len(lines), MaxLines)
	}
	seen := make(map[int]bool, len(lines))
	for i, l := range lines {
		field := fmt.Sprintf("lines[%d]", i)
		if err := checkLine(field, l); err != nil {
			return err
		}
		if seen[l.ItemID] {
			return refused(field+".item_id", RuleSameItem, "item %d has a line already: raise its quantity", l.ItemID)
		}
		seen[l.ItemID] = true
		if l.UnitPrice.Currency != lines[0].UnitPrice.Currency {
			return refused(field+".unit_price.currency", RuleCurrency, "an order has one currency, not %s and %s", lines[0].UnitPrice.Currency, l.UnitPrice.Currency)
		}
	}
	return nil
}

func checkLine(field string, l event.Line) error {
	switch {
	case l.ItemID < 1:
		return refused(field+".item_id", RuleRequired, "say which item")
	case l.Quantity < 1 || l.Quantity > MaxQuantity:
		return refused(field+".quantity", RuleRange, "1 to %d, not %d", MaxQuantity, l.Quantity)
	case l.UnitPrice.Minor < 1 || l.UnitPrice.Minor > MaxUnitPrice:
		return refused(field+".unit_price.minor", RuleRange, "1 to %d, not %d", MaxUnitPrice, l.UnitPrice.Minor)
	}
	if err := checkCurrency(field+".unit_price.currency", l.UnitPrice.Currency); err != nil {
		return err
	}
	return checkText(field+".name", l.Name, MaxName)
}

// checkAmount holds an amount of money to what every amount is: positive and in the order's currency.
func (o Order) checkAmount(field string, m event.Money) error {
	if m.Currency != o.Total.Currency {
		return refused(field+".currency", RuleCurrency, "the order is in %s, not %q", o.Total.Currency, m.Currency)
	}
	if m.Minor < 1 {
		return refused(field+".minor", RuleRange, "at least 1, not %d", m.Minor)
	}
	return nil
}

func checkCurrency(field, code string) error {
	if len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return refused(field, RuleCurrency, "%q is not a code of ISO 4217 such as EUR", code)
	}
	return nil
}

// checkText wants some text of at most limit bytes. Control characters are refused because Postgres keeps no NUL in a
// jsonb and nobody has to read the others; line breaks and tabs are text.
func checkText(field, s string, limit int) error {
	switch {
	case strings.TrimSpace(s) == "":
		return refused(field, RuleRequired, "say it in words")
	case len(s) > limit:
		return refused(field, RuleTooLong, "%d bytes, at most %d", len(s), limit)
	case !utf8.ValidString(s):
		return refused(field, RuleText, "not UTF-8")
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return refused(field, RuleText, "control characters are not allowed")
	}
	return nil
}

// sum is the total of checked lines.
func sum(lines []event.Line) event.Money {
	total := event.Money{Currency: lines[0].UnitPrice.Currency}
	for _, l := range lines {
		total.Minor += int64(l.Quantity) * l.UnitPrice.Minor
	}
	return total
}
