package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// api is the orders API as a target.
type api struct {
	base   string // without a slash at its end
	client *http.Client
}

// API returns the orders API at a URL as a target, which the client asks: it shows the token, if there is one, and follows no
// redirection.
func API(address string, client *http.Client) (Target, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, errors.New("--to is not of the form http://HOST:PORT (a token goes into a file: --bearer-token-file)")
	}
	return &api{base: strings.TrimSuffix(u.String(), "/"), client: client}, nil
}

// Name implements Target.
func (a *api) Name() string { return a.base }

// Close implements Target.
func (a *api) Close() { a.client.CloseIdleConnections() }

// Flaws implements Target.
func (a *api) Flaws() []Flaw {
	return []Flaw{BrokenJSON, WrongType, UnknownField, UnknownItem, NoQuantity, BrokenRule}
}

// expected are the status codes that a request may get beside those that turn it away.
var expected = map[Flaw][]int{
	BrokenJSON: {http.StatusBadRequest}, WrongType: {http.StatusUnsupportedMediaType},
	UnknownField: {http.StatusBadRequest, http.StatusUnprocessableEntity},
	UnknownItem:  {http.StatusUnprocessableEntity}, NoQuantity: {http.StatusUnprocessableEntity},
	BrokenRule: {http.StatusConflict},
}

// Menu implements Target.
func (a *api) Menu(ctx context.Context) ([]event.Line, error) {
	reply, err := a.send(ctx, http.MethodGet, "/v1/menu", nil, nil)
	switch {
	case untrusted(err):
		return nil, fmt.Errorf("%w: give the certificate that signed the API's by --http-ca-file", err)
	case err != nil:
		return nil, fmt.Errorf("the orders API does not answer: %w: start it (foodctl up), or give --to its address", err)
	case reply.code == http.StatusUnauthorized || reply.code == http.StatusForbidden:
		return nil, fmt.Errorf("GET %s/v1/menu: %d: give a token with the scope command by --bearer-token-file", a.base, reply.code)
	case reply.code != http.StatusOK:
		return nil, fmt.Errorf("GET %s/v1/menu: %s: is that the orders API?", a.base, reply)
	}
	var menu struct {
		Items []struct {
			ID    int         `json:"item_id"`
			Name  string      `json:"name"`
			Price event.Money `json:"price"`
		} `json:"items"`
	}
	if err := json.Unmarshal(reply.body, &menu); err != nil {
		return nil, fmt.Errorf("GET %s/v1/menu: %w", a.base, err)
	}
	lines := make([]event.Line, len(menu.Items))
	for i, item := range menu.Items {
		lines[i] = event.Line{ItemID: item.ID, Name: item.Name, UnitPrice: item.Price}
	}
	return lines, nil
}

func untrusted(err error) bool {
	_, is := errors.AsType[*tls.CertificateVerificationError](err)
	return is
}

// Do implements Target.
func (a *api) Do(ctx context.Context, r Request) Answer {
	method, path, body, err := document(r)
	if err != nil {
		return Answer{Outcome: Wrong, Status: "not sent", Detail: err.Error()}
	}
	header := http.Header{}
	if method == http.MethodPost {
		header.Set("Content-Type", "application/json")
	}
	if r.Flaw == WrongType {
		header.Set("Content-Type", "text/plain")
	}
	if r.Key != "" {
		header.Set("Idempotency-Key", strconv.Quote(r.Key))
	}
	reply, err := a.send(ctx, method, path, body, header)
	if err != nil {
		return Answer{Outcome: NoAnswer, Status: "none", Detail: err.Error()}
	}
	return reply.answer(r)
}

// verbs are the commands' names in paths.
var verbs = map[string]string{
	order.AuthorizePayment{}.Name(): "pay", order.Accept{}.Name(): "accept", order.Reject{}.Name(): "reject",
	order.StartPreparing{}.Name(): "prepare", order.MarkReady{}.Name(): "ready", order.Collect{}.Name(): "collect",
	order.Dispatch{}.Name(): "dispatch", order.ConfirmDelivery{}.Name(): "deliver", order.Cancel{}.Name(): "cancel",
	order.Rate{}.Name(): "rate",
}

// document is a request as the API takes it.
func document(r Request) (method, path string, body []byte, err error) {
	path = "/v1/orders/" + r.Order.String()
	switch r.Kind {
	case Read:
		return http.MethodGet, path, nil, nil
	case Act:
		body, err = json.Marshal(r.Do)
		return http.MethodPost, path + "/" + verbs[r.Do.Name()], body, err
	default:
		place, _ := r.Do.(order.Place)
		body, err = json.Marshal(placement(place, r.Flaw))
		if r.Flaw == BrokenJSON {
			body = body[:len(body)-1]
		}
		return http.MethodPost, "/v1/orders", body, err
	}
}

// form is what a client says of an order: it does not set prices.
type form struct {
	CustomerID int           `json:"customer_id"`
	Service    event.Service `json:"service"`
	Lines      []position    `json:"lines"`
	Surplus    string        `json:"flavour,omitempty"` // which no order has
}

type position struct {
	ItemID   int `json:"item_id"`
	Quantity int `json:"quantity"`
}

// nowhere is an item that no menu has.
const nowhere = 2_000_000_000

func placement(p order.Place, flaw Flaw) form {
	f := form{CustomerID: p.CustomerID, Service: p.Service}
	for _, l := range p.Lines {
		f.Lines = append(f.Lines, position{l.ItemID, l.Quantity})
	}
	switch flaw {
	case UnknownField:
		f.Surplus = "umami"
	case UnknownItem:
		f.Lines[0].ItemID = nowhere
	case NoQuantity:
		f.Lines[0].Quantity = 0
	default:
	}
	return f
}

// reply is what came over HTTP.
type reply struct {
	code   int
	header http.Header
	body   []byte
}

// maxReply is far above any answer about one order.
const maxReply = 1 << 20

func (a *api) send(ctx context.Context, method, path string, body []byte, header http.Header) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if header != nil {
		r.Header = header
	}
	// net/http would give a request with a key again by itself, unseen, and the answers to what is given twice would not add up.
	r.GetBody = nil
	response, err := a.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	return reply{response.StatusCode, response.Header, content}, err
}

// problem is what is read of an error (RFC 9457).
func (r reply) problem() (kind, detail string, rule order.Rule) {
	var p struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Errors []struct {
			Rule order.Rule `json:"rule"`
		} `json:"errors"`
	}
	if media, _, _ := strings.Cut(r.header.Get("Content-Type"), ";"); media != "application/problem+json" || json.Unmarshal(r.body, &p) != nil {
		return "", "", ""
	}
	if len(p.Errors) > 0 {
		rule = p.Errors[0].Rule
	}
	return p.Type[strings.LastIndexByte(p.Type, '/')+1:], p.Title + ": " + p.Detail, rule
}

// String is the reply in a line, for errors.
func (r reply) String() string {
	text := string(r.body[:min(len(r.body), 200)])
	if _, detail, _ := r.problem(); detail != "" {
		text = detail
	}
	return fmt.Sprintf("%d %q", r.code, text)
}

// answer holds a reply against what the request had to get.
func (r reply) answer(to Request) Answer {
	if to.Flaw == Sound && r.code == success(to.Kind) {
		return r.order(Answer{Status: strconv.Itoa(r.code)})
	}
	kind, _, rule := r.problem()
	a := Answer{Status: strings.TrimSpace(fmt.Sprint(r.code, " ", kind))}
	switch {
	case kind == "key-in-use":
		a.Outcome = InUse
	case kind != "" && (r.code == http.StatusServiceUnavailable || r.code == http.StatusTooManyRequests):
		a.Outcome = Busy
	case to.Flaw != Sound && kind != "" && slices.Contains(expected[to.Flaw], r.code):
		a.Outcome = Refused
	case to.Flaw == Sound && to.Kind == Place && rule == order.RuleCustomer:
		a.Outcome = NoSuch
	default:
		a.Outcome, a.Detail = Wrong, r.String()
	}
	return a
}

func success(k Kind) int {
	if k == Place {
		return http.StatusCreated
	}
	return http.StatusOK
}

// order reads of the order that a 2xx is about what a load goes by.
func (r reply) order(a Answer) Answer {
	var o struct {
		ID         uuid.UUID        `json:"id"`
		Version    int64            `json:"version"`
		Service    event.Service    `json:"service"`
		Fulfilment order.Fulfilment `json:"fulfilment"`
		Rating     int              `json:"rating"`
	}
	if err := json.Unmarshal(r.body, &o); err != nil {
		a.Outcome, a.Detail = Wrong, fmt.Sprintf("the answer is no order: %v: %s", err, r)
		return a
	}
	a.Outcome, a.Order = Done, o.ID
	a.State = order.Order{Version: o.Version, Service: o.Service, Fulfilment: o.Fulfilment, Rating: o.Rating}
	a.Replayed = r.header.Get("Idempotency-Replayed") == "true"
	a.Content = strings.Join([]string{strconv.Itoa(r.code), r.header.Get("Location"), r.header.Get("ETag"), string(r.body)}, "\n")
	return a
}
