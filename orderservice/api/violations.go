package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// violation is one rule that a request breaks.
type violation struct {
	Pointer string `json:"pointer,omitempty" doc:"JSON pointer (RFC 6901) to the field of the body, as a URI fragment; absent when it is not one field."`
	Rule    string `json:"rule" doc:"The rule's name, for programs. It never changes."`
	Detail  string `json:"detail" doc:"The rule, for people."`
}

// Rules of requests beside those of orders. What cannot be understood has some more, see decode.go.
const (
	ruleType         = "type"
	ruleUnknownField = "unknown_field"
	ruleFormat       = "format"
	ruleParameter    = "parameter"
)

// unfit is the problem of a request that does not fit its operation's schema. A path that does not leads nowhere.
func unfit(ctx huma.Context, status int, message string, found []error) error {
	if status != http.StatusUnprocessableEntity || len(found) == 0 {
		return fmt.Errorf("huma: %d %s", status, message) // found has the request's values, which are no log's business
	}
	kind := invalid
	var violations []violation
	for _, err := range found {
		detail := &huma.ErrorDetail{Message: err.Error()}
		if d, is := err.(huma.ErrorDetailer); is {
			detail = d.ErrorDetail()
		}
		in, place, _ := strings.Cut(detail.Location, ".")
		switch in {
		case "path":
			return &problem{kind: notFound, detail: fmt.Sprintf("there is no %q here: %s", ctx.Param(place), detail.Message)}
		case "query", "header":
			kind = malformed
			if strings.HasPrefix(detail.Message, "invalid date/time") { // its rest is Go's idea of a format
				detail.Message = "not a time by RFC 3339, such as 2026-11-28T12:00:00Z"
			}
			violations = append(violations, violation{Rule: ruleParameter, Detail: fmt.Sprintf("%s %s: %s", in, place, detail.Message)})
		default:
			violations = append(violations, inBody(place, detail))
		}
	}
	slices.SortFunc(violations, func(a, b violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	first := violations[0]
	return &problem{kind: kind, detail: strings.TrimPrefix(strings.TrimPrefix(first.Pointer, "#/")+": "+first.Detail, ": "), errors: violations}
}

// inBody names what huma says of a place in the body by the words that orders have for the same.
func inBody(place string, found *huma.ErrorDetail) violation {
	message := found.Message
	v := violation{Rule: ruleFormat, Detail: message}
	if within, is := found.Value.(map[string]any); is && message == validation.MsgUnexpectedProperty {
		return violation{strange(place, within), ruleUnknownField, "there is no such field"}
	}
	if place != "" {
		v.Pointer = pointer(place)
	}
	var missing string
	if n, _ := fmt.Sscanf(message, validation.MsgExpectedRequiredProperty, &missing); n == 1 {
		return violation{cmp.Or(v.Pointer, "#") + "/" + missing, string(order.RuleRequired), "the field is missing"}
	}
	for _, known := range []struct{ message, rule string }{
		{validation.MsgExpectedNumber, ruleType},
		{validation.MsgExpectedInteger, ruleType},
		{validation.MsgExpectedString, ruleType},
		{validation.MsgExpectedArray, ruleType},
		{validation.MsgExpectedObject, ruleType},
		{fmt.Sprintf(validation.MsgExpectedBePattern, textDescription), string(order.RuleText)},
	} {
		if message == known.message {
			v.Rule = known.rule
			return v
		}
	}
	for _, known := range []struct {
		message string
		rule    order.Rule
	}{
		{validation.MsgExpectedMinLength, order.RuleRequired}, // of a text, one character; of an array, one item
		{validation.MsgExpectedMinItems, order.RuleRequired},
		{validation.MsgExpectedMaxLength, order.RuleTooLong},
		{validation.MsgExpectedMaxItems, order.RuleTooLong},
		{validation.MsgExpectedMinimumNumber, order.RuleRange},
		{validation.MsgExpectedMaximumNumber, order.RuleRange},
		{validation.MsgExpectedOneOf, order.RuleChoice},
	} {
		if begin, _, _ := strings.Cut(known.message, "%"); strings.HasPrefix(message, begin) {
			v.Rule = string(known.rule)
		}
	}
	return v
}

// strange is the pointer to a field that the client has made up: its name may have what else separates names. The object that
// it is within tells where the name begins.
func strange(place string, within map[string]any) string {
	for i := -1; ; {
		if _, is := within[place[i+1:]]; is {
			container := strings.TrimSuffix(place[:i+1], ".")
			if container == "" {
				return pointerTo([]string{place})
			}
			return pointer(container) + strings.TrimPrefix(pointerTo([]string{place[i+1:]}), "#")
		}
		next := strings.IndexByte(place[i+1:], '.')
		if next < 0 {
			return pointer(place)
		}
		i += next + 1
	}
}
