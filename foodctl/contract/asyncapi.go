package contract

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// asyncAPIFile is the topic's contract.
const asyncAPIFile = "asyncapi.yaml"

// Group is the projectors' consumer group, unless they are given another.
const Group = "food-orders-projector"

// replicas are those of a topic in production.
const replicas = 3

//go:embed asyncapi.yaml.tmpl
var asyncAPIText string

var asyncAPITemplate = template.Must(template.New(asyncAPIFile).Funcs(template.FuncMap{"json": inline}).Parse(asyncAPIText))

// message is a type of event as the topic has it.
type message struct {
	Type        event.Type
	Description string
	Examples    []example
}

type example struct {
	Headers map[string]string
	Payload json.RawMessage
}

func asyncAPI(messages []message) ([]byte, error) {
	var text bytes.Buffer
	err := asyncAPITemplate.Execute(&text, map[string]any{
		"Topic": topic.Name, "Partitions": topic.Partitions, "Replicas": replicas, "Settings": broker.Settings(replicas),
		"Group": Group, "Messages": messages,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", asyncAPIFile, err)
	}
	return text.Bytes(), nil
}

// inline is a value in one line: JSON is YAML, too.
func inline(v any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return strings.TrimSpace(text.String()), err
}

// exampleOf is the record that the relay makes of a payload, of an event that is the same each time.
func exampleOf(t event.Type, payload json.RawMessage) (example, error) {
	record, err := recordOf(t, payload)
	if err != nil {
		return example{}, fmt.Errorf("example of %s: %w", t, err)
	}
	e := example{Headers: make(map[string]string), Payload: record.Value}
	for _, h := range record.Headers {
		e.Headers[h.Key] = string(h.Value)
	}
	return e, nil
}

func recordOf(t event.Type, payload json.RawMessage) (*kgo.Record, error) {
	about := uuid.MustParse("019ab2c8-8f3e-7c55-8a6a-6f0d2c1b9e4d") // an order
	data, err := event.Event{Type: t, Payload: payload}.Data()
	if err != nil {
		return nil, err
	}
	if erased, is := data.(event.CustomerErased); is {
		about = event.CustomerKey(erased.CustomerID)
	}
	return topic.Record(topic.Name, outbox.Row{
		Seq: []byte("41"), ID: []byte(uuid.NewSHA1(about, []byte(t)).String()), AggregateID: []byte(about.String()),
		Type: []byte(t), Version: []byte("1"), Payload: payload, OccurredAt: []byte("2026-11-23 04:22:00.5+00"),
		Headers: []byte(`{"actor":"api"}`),
	}, topic.Source{Name: "/orders", Commit: 0x16_B374D848, Committed: time.Date(2026, 11, 23, 4, 22, 0, 0, time.UTC), Last: true})
}
