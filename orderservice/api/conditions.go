package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// maxKey is how long an idempotency key may be.
const maxKey = 255

// idempotencyKey reads the Idempotency-Key header; nil means there is none. The draft has a quoted string (RFC 8941
// section 3.3.3); the bare word that most clients send is taken too, and names the same key.
//
// The key is for one request: its path and its body as it was understood, so that a retry may be formatted otherwise.
func idempotencyKey(r *http.Request, body any) (*eventlog.Key, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil, nil //nolint:nilnil // no key is no error
	}
	value, ok := unquote(values[0])
	if !ok || len(values) > 1 || value == "" || len(value) > maxKey {
		return nil, refused("", "idempotency_key", fmt.Sprintf("Idempotency-Key is one word or quoted string of 1 to %d ASCII characters", maxKey))
	}
	canonical, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	request := append([]byte(r.Method+" "+r.URL.Path+"\n"), canonical...)
	return &eventlog.Key{Value: value, RequestHash: sha256.Sum256(request)}, nil
}

// keyPattern is what the document says of a key.
const keyPattern = `^([!#-\[\]-~]+|"([ !#-\[\]-~]|\\["\\])+")$`

var (
	bareWord     = regexp.MustCompile(`^[!#-\[\]-~]+$`) // visible ASCII without " and \
	quotedString = regexp.MustCompile(`^"((?:[ !#-\[\]-~]|\\["\\])*)"$`)
	unescape     = strings.NewReplacer(`\"`, `"`, `\\`, `\`)
)

func unquote(s string) (string, bool) {
	if bareWord.MatchString(s) {
		return s, true
	}
	m := quotedString.FindStringSubmatch(s)
	if m == nil {
		return "", false
	}
	return unescape.Replace(m[1]), true
}

// entityTags is what If-Match may be beside * (RFC 9110 section 8.8.3); strongETag one that an answer could have given.
var (
	entityTags = regexp.MustCompile(`^[ \t]*(W/)?"[!#-~\x80-\xff]*"([ \t]*,[ \t]*(W/)?"[!#-~\x80-\xff]*")*[ \t]*$`)
	strongETag = regexp.MustCompile(`(^|[ \t,])"(0|[1-9][0-9]{0,17})"`)
)

// noVersion is one that no order has.
const noVersion = -1

// ifMatch reads the version that the order must have (RFC 9110 section 13.1.1); nil means any. A tag that no answer gave, a
// weak one included, matches nothing.
func ifMatch(r *http.Request) (*int64, error) {
	values := r.Header.Values("If-Match")
	if len(values) == 0 || values[0] == "*" {
		return nil, nil //nolint:nilnil // no condition is no error
	}
	list := strings.Join(values, ",")
	if !entityTags.MatchString(list) {
		return nil, refused("", "if_match", `If-Match is the ETag of an answer, quotes included, such as "1"; or *`)
	}
	tags := strongETag.FindAllStringSubmatch(list, -1)
	switch len(tags) {
	case 0:
		expected := int64(noVersion)
		return &expected, nil
	case 1:
		expected, err := strconv.ParseInt(tags[0][2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("If-Match: %w", err) // 18 digits fit
		}
		return &expected, nil
	default:
		return nil, refused("", "if_match", "If-Match names two versions: say which one the command was decided on")
	}
}

// unchanged reports whether the caller has what an ETag names already (If-None-Match, RFC 9110 section 13.1.2).
func unchanged(ctx context.Context, etag string) bool {
	value := strings.Join(exchangeOf(ctx).request.Header.Values("If-None-Match"), ",")
	for known := range strings.SplitSeq(value, ",") {
		known = strings.TrimSpace(known)
		if known == "*" || strings.TrimPrefix(known, "W/") == etag {
			return true
		}
	}
	return false
}

var (
	traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	correlation = regexp.MustCompile(`^[!-~]{1,128}$`)
)

// actor is what this API calls itself in the events that it makes.
const actor = "api"

// eventHeaders are what a command's events carry along. A traceparent that is none is left out, as W3C Trace Context
// section 4.3 wants it. Whoever has shown a token is named by the token's name. A request without a Correlation-Id correlates by its own id.
func eventHeaders(ctx context.Context) map[string]string {
	x := exchangeOf(ctx)
	r := x.request
	headers := map[string]string{event.HeaderActor: actor, event.HeaderCorrelationID: x.id}
	if caller := auth.Caller(ctx); caller != "" {
		headers[event.HeaderActor] += ":" + caller
	}
	if c := r.Header.Get("Correlation-Id"); correlation.MatchString(c) {
		headers[event.HeaderCorrelationID] = c
	}
	if t := r.Header.Get("Traceparent"); traceparent.MatchString(t) && !strings.HasPrefix(t, "ff") {
		headers[event.HeaderTraceparent] = t
	}
	return headers
}
