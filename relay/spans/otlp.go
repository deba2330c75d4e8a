package spans

import (
	"encoding/hex"
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
	}
	attribute struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	value struct {
		String string `json:"stringValue,omitempty"`
		Int    string `json:"intValue,omitempty"`
	}
)

const (
	kindProducer  = 4               // SPAN_KIND_PRODUCER
	flags         = 1 | 1<<8 | 1<<9 // sampled; it is known where the parent is, and that is elsewhere
	scopeName     = "github.com/adamkwhite/kafkafoodpipeline/relay"
	operationSend = "send"
)

// encode names things as the semantic conventions for messaging do (opentelemetry.io/docs/specs/semconv/messaging).
func (e *Exporter) encode(batch []Span) request {
	spans := make([]span, 0, len(batch))
	for _, s := range batch {
		spans = append(spans, span{
			TraceID: hex.EncodeToString(s.Parent.Trace[:]), SpanID: hex.EncodeToString(s.ID[:]), ParentID: hex.EncodeToString(s.Parent.Span[:]),
			Flags: flags, Name: operationSend + " " + s.Topic, Kind: kindProducer,
			Start: nanoseconds(s.Start), End: nanoseconds(s.End),
			Attributes: []attribute{
				words("messaging.system", "kafka"), words("messaging.operation.name", operationSend), words("messaging.operation.type", operationSend),
				words("messaging.destination.name", s.Topic), words("messaging.destination.partition.id", strconv.Itoa(int(s.Partition))),
				{"messaging.kafka.offset", value{Int: strconv.FormatInt(s.Offset, 10)}},
				words("messaging.kafka.message.key", s.Key), words("messaging.message.id", s.Event),
			},
		})
	}
	return request{[]resourceSpans{{
		Resource:   resource{[]attribute{words("service.name", e.service)}},
		ScopeSpans: []scopeSpans{{scope{scopeName}, spans}},
	}}}
}

func words(key, v string) attribute { return attribute{key, value{String: v}} }

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
