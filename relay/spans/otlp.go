package spans

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// What follows is opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest in its JSON form: ids in hexadecimal,
// integers of 64 bits as text.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []attribute `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	span struct {
		TraceID    string      `json:"traceId"`
		SpanID     string      `json:"spanId"`
		ParentID   string      `json:"parentSpanId"`
		Flags      int         `json:"flags"`
		Name       string      `json:"name"`
		Kind       int         `json:"kind"`
		Start      string      `json:"startTimeUnixNano"`
		End        string      `json:"endTimeUnixNano"`
		Attributes []attribute `json:"attributes"`
		Links      []link      `json:"links"`
	}
	link struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
		Flags   int    `json:"flags"`
	}
	attribute struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	value struct {
		String string `json:"stringValue,omitempty"`
		Int    string `json:"intValue,omitempty"`
		Bool   bool   `json:"boolValue,omitempty"`
	}
)

// answer is what of ExportTraceServiceResponse matters.
type answer struct {
	PartialSuccess struct {
		RejectedSpans json.RawMessage `json:"rejectedSpans"` // a number as text, or from some as a number
		ErrorMessage  string          `json:"errorMessage"`
	} `json:"partialSuccess"`
}

const (
	kindClient    = 3           // SPAN_KIND_CLIENT
	remoteParent  = 1<<8 | 1<<9 // of a span's flags: it is known where the parent is, and that is elsewhere
	scopeName     = "github.com/adamkwhite/kafkafoodpipeline/relay"
	operationSend = "send"
)

// encode names things as the semantic conventions for messaging do (opentelemetry.io/docs/specs/semconv/messaging). The record goes
// on with the context in which the event was made, and that is what the span links to; so it is of the kind CLIENT, not PRODUCER.
func (e *Exporter) encode(batch []Span) request {
	spans := make([]span, 0, len(batch))
	for _, s := range batch {
		trace, parent, flags := hex.EncodeToString(s.Parent.Trace[:]), hex.EncodeToString(s.Parent.Span[:]), int(s.Parent.Flags)|remoteParent
		attributes := []attribute{
			words("messaging.system", "kafka"), words("messaging.operation.name", operationSend), words("messaging.operation.type", operationSend),
			words("messaging.destination.name", s.Topic), words("messaging.destination.partition.id", strconv.Itoa(int(s.Partition))),
			{"messaging.kafka.offset", value{Int: strconv.FormatInt(s.Offset, 10)}},
			words("messaging.kafka.message.key", s.Key), words("messaging.message.id", s.Event),
		}
		if s.Tombstone {
			attributes = append(attributes, attribute{"messaging.kafka.message.tombstone", value{Bool: true}})
		}
		spans = append(spans, span{
			TraceID: trace, SpanID: hex.EncodeToString(s.ID[:]), ParentID: parent, Flags: flags,
			Name: operationSend + " " + s.Topic, Kind: kindClient, Start: nanoseconds(s.Start), End: nanoseconds(s.End),
			Attributes: attributes, Links: []link{{trace, parent, flags}},
		})
	}
	return request{[]resourceSpans{{
		Resource:   resource{[]attribute{words("service.name", e.service)}},
		ScopeSpans: []scopeSpans{{scope{scopeName}, spans}},
	}}}
}

func words(key, v string) attribute { return attribute{key, value{String: v}} }

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// send returns how many of the spans the collector has not taken, and why.
func (e *Exporter) send(ctx context.Context, batch []Span) (rejected int, err error) {
	body, err := json.Marshal(e.encode(batch))
	if err != nil {
		return len(batch), err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return len(batch), err
	}
	request.Header = e.headers.Clone()
	response, err := e.client.Do(request)
	if err != nil {
		return len(batch), err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return len(batch), err
	}
	if response.StatusCode/100 != 2 {
		return len(batch), fmt.Errorf("%s answered %s", e.url, response.Status)
	}
	var a answer
	if json.Unmarshal(said, &a) != nil { // it may say nothing
		return 0, nil
	}
	rejected, _ = strconv.Atoi(string(bytes.Trim(a.PartialSuccess.RejectedSpans, `"`)))
	if rejected > 0 {
		err = fmt.Errorf("%s rejected %d of %d: %s", e.url, rejected, len(batch), cmp.Or(a.PartialSuccess.ErrorMessage, "it does not say why"))
	}
	return rejected, err
}
