package layout

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// registered is a configuration as the documentation of Debezium's outbox event router has it, with what deployments add.
func registered() map[string]string {
	return map[string]string{
		"name":                   "outbox-connector",
		"connector.class":        "io.debezium.connector.postgresql.PostgresConnector",
		"tasks.max":              "1",
		"database.hostname":      "postgres",
		"database.password":      "secret",
		"topic.prefix":           "shop",
		"plugin.name":            "pgoutput",
		"slot.name":              "shop_outbox",
		"publication.name":       "shop_publication",
		"table.include.list":     "public.outbox,sales\\.outbox_events",
		"tombstones.on.delete":   "false",
		"heartbeat.interval.ms":  "10000",
		"key.converter":          "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":        "org.apache.kafka.connect.storage.StringConverter",
		"transforms":             "outbox",
		"transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
		"transforms.outbox.route.topic.replacement":           "${routedByValue}.events",
		"transforms.outbox.table.fields.additional.placement": "type:header:eventType,tenant:header",
	}
}

func encoded(t *testing.T, config any) []byte {
	t.Helper()
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConnectorIsReadAsItIsRegistered(t *testing.T) {
	t.Parallel()
	flat, err := Connector(encoded(t, registered()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Connector(encoded(t, map[string]any{"name": "outbox-connector", "config": registered()})); err != nil {
		t.Errorf("as it is posted to Kafka Connect: %v", err)
	}
	if flat.Name != "shop" || flat.Slot != "shop_outbox" || flat.Publication != "shop_publication" || flat.Own || flat.Fresh || flat.Order != "" {
		t.Errorf("got %+v", flat)
	}
	if diff := cmp.Diff(flat.Names(), []string{"public.outbox", "sales.outbox_events"}); diff != "" {
		t.Errorf("tables (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(flat.Columns(), []string{"id", "aggregateid", "payload", "type", "tenant", "aggregatetype"}); diff != "" {
		t.Errorf("columns (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(flat.NotNull(), []string{"id", "aggregateid", "aggregatetype"}); diff != "" {
		t.Errorf("columns that must not be NULL (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(flat.Headers(), []string{"eventType", "tenant"}); diff != "" {
		t.Errorf("headers (-got +want):\n%s", diff)
	}
	if got := flat.Topic("customer"); got != "customer.events" || !flat.Routed() || flat.FixedTopic() != "" {
		t.Errorf("topic %q, routed %v, fixed %q", got, flat.Routed(), flat.FixedTopic())
	}
}

func TestTopicIsMadeAsKafkaConnectMakesIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ regex, replacement, value, want string }{
		{"", "", "order", "outbox.event.order"},
		{"", "${routedByValue}", "order", "order"},
		{"(.*)Aggregate", "$1.events", "OrderAggregate", "Order.events"},
		{"(.*)Aggregate", "$1.events", "Order", "Order"}, // it does not match: it stays
		{"(?<a>[a-z]+)\\.(?<b>.*)", "${b}-${a}", "shop.order", "order-shop"},
		{"[a-z ]*", "all", "Order2", "Order2"}, // not everything, though it looks like it
		{"(.)(.)(.*)", "$12", "order", "o2"},   // one digit, as there are groups
		{"", "everything", "order", "everything"},
		{"Order", "everything", "Order", "everything"},
		{"Order", "everything", "Orders", "Orders"},
	} {
		config := registered()
		delete(config, "transforms.outbox.route.topic.replacement")
		if c.regex != "" {
			config["transforms.outbox.route.topic.regex"] = c.regex
		}
		if c.replacement != "" {
			config["transforms.outbox.route.topic.replacement"] = c.replacement
		}
		l, err := Connector(encoded(t, config))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Topic(c.value); got != c.want {
			t.Errorf("%q -> %q of %q: got %q, want %q", c.regex, c.replacement, c.value, got, c.want)
		}
		constant := c.regex == "" && c.replacement == "everything"
		if l.Routed() == constant || constant && l.FixedTopic() != "everything" {
			t.Errorf("%q -> %q: routed %v, fixed %q", c.regex, c.replacement, l.Routed(), l.FixedTopic())
		}
		if constant && slices.Contains(l.Columns(), "aggregatetype") {
			t.Error("the column that routes is needed, and nothing is routed")
		}
	}
}

// What would make other records than Debezium's, or none, is refused with the name of the property.
func TestConnectorThatTheRelayCannotFollowIsRefused(t *testing.T) {
	t.Parallel()
	const outbox = "transforms.outbox."
	for _, c := range []struct{ property, value string }{
		{"connector.class", "io.debezium.connector.mysql.MySqlConnector"},
		{"plugin.name", "decoderbufs"},
		{"topic.prefix", ""},
		{"table.include.list", ""},
		{"table.include.list", "public.outbox_.*"},
		{"table.include.list", "outbox"},
		{"snapshot.mode", "always"},
		{"key.converter", "MISSING"},
		{"value.converter", "MISSING"},
		{"slot.drop.on.stop", "true"},
		{"errors.tolerance", "all"},
		{"producer.override.partitioner.class", "RoundRobin"},
		{"relay.prune.by", "at"},
		{"relay.order.by", "seq"}, // of two tables
		{outbox + "table.expand.json.payload", "true"},
		{outbox + "route.topic.replacement", "${nobody}.events"},
		{outbox + "route.topic.replacement", "$3.events"},
		{outbox + "route.topic.replacement", "a\\b"},
		{"nameless", "x"},
		{"key.converter", "org.apache.kafka.connect.json.JsonConverter"},
		{"value.converter", "org.apache.kafka.connect.json.JsonConverter"},
		{"value.converter", "io.confluent.connect.avro.AvroConverter"},
		{"header.converter", "org.apache.kafka.connect.json.JsonConverter"},
		{"transforms", ""},
		{"transforms", "outbox,rename"},
		{outbox + "type", "org.apache.kafka.connect.transforms.RegexRouter"},
		{outbox + "route.topic.regex", "(?!look)"},
		{outbox + "route.tombstone.on.empty.payload", "perhaps"},
		{outbox + "table.fields.additional.placement", "type:envelope"},
		{outbox + "table.fields.additional.placement", "shard:partition"},
		{outbox + "table.fields.additional.placement", "type"},
		{outbox + "table.fields.additional.placement", "payload:header"},
		{outbox + "table.fields.additional.placement", "type:header:id"},
		{outbox + "table.fields.additional.placement", "type:header:ce_type"},
		{outbox + "tracing.span.context.field", "span"},
		{outbox + "predicate", "isOutbox"},
		{"column.exclude.list", "public.outbox.secret"},
		{"relay.headers", "avro"},
		{"relay.prune.after", "24h"}, // and no column
		{"relay.prune.after", "24"},
	} {
		config := registered()
		config[c.property] = c.value
		if c.value == "MISSING" {
			delete(config, c.property)
		}
		name := strings.TrimPrefix(c.property, outbox)
		if c.property == outbox+"type" {
			name = "transforms"
		}
		l, err := Connector(encoded(t, config))
		if err == nil || !strings.Contains(err.Error(), name) || l != nil {
			t.Errorf("%s=%s: got %+v, %v", c.property, c.value, l, err)
		}
	}
	for _, b := range []string{"", "[]", "{", `{"topic.prefix":["a"]}`, `"x"`, "null"} {
		if l, err := Connector([]byte(b)); err == nil {
			t.Errorf("%s: got %+v", b, l)
		}
	}
}

// All that is wrong is said at once, and of a secret only the property's name.
func TestRefusalNamesEveryPropertyAndNoValueThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	config := registered()
	config["plugin.name"], config["topic.prefix"], config["mystery.password"] = "wal2json", "", "hunter2"
	_, err := Connector(encoded(t, config))
	for _, part := range []string{"plugin.name", "topic.prefix", "mystery.password"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v tells a secret", err)
	}
}

// One that is refused must not hide another.
func TestOrderOfSeveralTablesIsRefusedBesideAllElse(t *testing.T) {
	t.Parallel()
	config := registered()
	config["relay.order.by"], config["relay.prune.by"], config["relay.prune.after"] = "seq", "at", "24h"
	if _, err := Connector(encoded(t, config)); err == nil || !strings.Contains(err.Error(), "relay.order.by") {
		t.Errorf("got %v", err)
	}
}

func TestJSONConverterIsFollowedWhereItWritesThePayload(t *testing.T) {
	t.Parallel()
	config := registered()
	for name := range config {
		if strings.HasPrefix(name, "value.converter") {
			delete(config, name)
		}
	}
	config["value.converter"], config["value.converter.schemas.enable"] = "org.apache.kafka.connect.json.JsonConverter", "false"
	config["transforms.outbox.table.expand.json.payload"] = "true"
	if _, err := Connector(encoded(t, config)); err != nil {
		t.Error(err)
	}
}
