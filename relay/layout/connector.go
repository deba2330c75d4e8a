package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// properties are a connector's configuration. Those that were looked at are taken out: what is left is not known.
type properties map[string]string

func (p properties) take(name, otherwise string) string {
	v, there := p[name]
	delete(p, name)
	if !there {
		return otherwise
	}
	return strings.TrimSpace(v)
}

// without says which properties change nothing here: how Debezium reaches its servers, how it reads, and how it goes on.
var without = regexp.MustCompile(`^(name$|tasks\.max$|config\.action\.reload$|database\.|heartbeat\.|status\.update\.interval\.ms$|` +
	`publication\.autocreate\.mode$|slot\.|snapshot\.|tombstones\.on\.delete$|errors\.|topic\.creation\.|topic\.naming\.strategy$|` +
	`topic\.heartbeat\.prefix$|exactly\.once\.support$|transaction\.boundary|offsets\.storage\.topic$|producer\.override\.|` +
	`max\.batch\.size$|max\.queue\.size|poll\.interval\.ms$|retriable\.restart\.connector\.wait\.ms$|provide\.transaction\.metadata$|` +
	`include\.schema\.changes$|schema\.refresh\.mode$|lsn\.flush\.mode$|flush\.lsn\.source$|xmin\.fetch\.interval\.ms$)`)

const (
	connectorClass = "io.debezium.connector.postgresql.PostgresConnector"
	routerClass    = "io.debezium.transforms.outbox.EventRouter"
	stringClass    = "org.apache.kafka.connect.storage.StringConverter"
)

// Connector reads the configuration of a Debezium connector with its outbox event router: a JSON object of strings, or one
// with such an object under "config", as Kafka Connect takes them (Debezium's documentation, "Outbox Event Router").
//
// A property that would make other records than the relay does is an error, and so is one that is not known: to pass over it
// would be a guess. The properties that begin with relay. are its own, which Kafka Connect passes over; see extras.
func Connector(config []byte) (*Layout, error) {
	p, err := parse(config)
	if err != nil {
		return nil, err
	}
	l := &Layout{Publication: p.take("publication.name", "dbz_publication"), Slot: p.take("slot.name", "debezium"), Name: p.take("topic.prefix", "")}
	expanded, failed := l.router(p)
	err = errors.Join(l.source(p), failed, l.converters(p, expanded), l.extras(p))
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !without.MatchString(name) {
			err = errors.Join(err, fmt.Errorf("%s: the relay does not know what it would change: take it out, if the records are right without it", name))
		}
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func parse(config []byte) (properties, error) {
	var outer struct {
		Config map[string]any `json:"config"`
	}
	var flat map[string]any
	if err := json.Unmarshal(config, &flat); err != nil {
		return nil, fmt.Errorf("want the JSON of a connector's configuration: %w", err)
	}
	if _, nested := flat["config"].(map[string]any); nested {
		if err := json.Unmarshal(config, &outer); err != nil {
			return nil, err
		}
		flat = outer.Config
	}
	p := make(properties)
	for name, value := range flat {
		switch v := value.(type) {
		case string:
			p[name] = v
		case bool:
			p[name] = strconv.FormatBool(v)
		case float64:
			p[name] = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			return nil, fmt.Errorf("%s: want a string", name)
		}
	}
	return p, nil
}

// plainTable is a table's name in table.include.list, which holds regular expressions: only those that are names can be held
// against a publication.
var plainTable = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)\\?\.([A-Za-z_][A-Za-z0-9_]*)$`)

// source reads what is read, and from where.
func (l *Layout) source(p properties) (err error) {
	if class := p.take("connector.class", connectorClass); class != connectorClass {
		err = errors.Join(err, fmt.Errorf("connector.class: %s; want %s", class, connectorClass))
	}
	if plugin := p.take("plugin.name", "pgoutput"); plugin != "pgoutput" {
		err = errors.Join(err, fmt.Errorf("plugin.name: %s; the relay reads pgoutput alone, from a slot of its own: see the hand-over in docs/outbox.md", plugin))
	}
	if l.Name == "" {
		err = errors.Join(err, errors.New("topic.prefix is missing: the checkpoint is called after it"))
	}
	list := p.take("table.include.list", "")
	if list == "" {
		return errors.Join(err, errors.New("table.include.list is missing: it names the outbox tables"))
	}
	for name := range strings.SplitSeq(list, ",") {
		m := plainTable.FindStringSubmatch(strings.TrimSpace(name))
		if m == nil {
			err = errors.Join(err, fmt.Errorf("table.include.list: %q is not schema.table: name each outbox table", strings.TrimSpace(name)))
			continue
		}
		if t := (Table{m[1], m[2]}); !slices.Contains(l.Tables, t) {
			l.Tables = append(l.Tables, t)
		}
	}
	if p.take("slot.drop.on.stop", "false") == "true" {
		err = errors.Join(err, errors.New("slot.drop.on.stop: true; the slot must outlive the connector, or what is committed meanwhile is lost"))
	}
	if tolerance := p.take("errors.tolerance", "none"); tolerance != "none" {
		err = errors.Join(err, fmt.Errorf("errors.tolerance: %s; the relay leaves nothing out: see relay.dead.letter.topic", tolerance))
	}
	switch mode := p.take("snapshot.mode", "initial"); mode {
	case "initial", "when_needed":
	case "no_data", "never":
		l.Fresh = true
	default:
		err = errors.Join(err, fmt.Errorf("snapshot.mode: %s; want initial or no_data", mode))
	}
	return err
}

// router reads what the event router does, and whether it makes a structure of a JSON payload.
func (l *Layout) router(p properties) (expanded bool, err error) {
	chain := p.take("transforms", "")
	alias := ""
	for name := range strings.SplitSeq(chain, ",") {
		name = strings.TrimSpace(name)
		if kind := p["transforms."+name+".type"]; kind != routerClass {
			return false, fmt.Errorf("transforms: %s of type %q; the relay does what %s does, and nothing else", name, kind, routerClass)
		}
		if alias != "" {
			return false, errors.New("transforms: there are two event routers")
		}
		alias = name
	}
	prefix := "transforms." + alias + "."
	take := func(name, otherwise string) string { return p.take(prefix+name, otherwise) }
	fallback := take("table.field.event.payload.id", "aggregateid")
	key := take("table.field.event.key", fallback)
	l.columns = []column{
		{name: take("table.field.event.id", "id"), role: id},
		{name: key, role: aggregateID},
		{name: take("table.field.event.payload", "payload"), role: payload, nullable: true},
		{name: take("table.field.event.type", "type"), role: eventType, nullable: true, optional: true},
	}
	if stamp := take("table.field.event.timestamp", ""); stamp != "" {
		l.columns = append(l.columns, column{name: stamp, role: occurredAt, nullable: true})
		l.Stamped = true
	}
	// They change nothing: Connect's schema has no place in such a record, the publication brings no updates, and a column
	// that is missing is always an error.
	for _, name := range []string{
		"type", "table.field.event.schema.version", "table.op.invalid.behavior", "debezium.op.invalid.behavior",
		"table.fields.additional.error.on.missing", "table.json.payload.null.behavior",
	} {
		take(name, "")
	}
	if l.Tombstones, err = strconv.ParseBool(take("route.tombstone.on.empty.payload", "false")); err != nil {
		err = fmt.Errorf("%sroute.tombstone.on.empty.payload: want true or false", prefix)
	}
	return take("table.expand.json.payload", "false") == "true", errors.Join(err,
		l.place(take("table.fields.additional.placement", "")),
		l.routeBy(take("route.by.field", "aggregatetype"), take("route.topic.regex", "(?<routedByValue>.*)"),
			take("route.topic.replacement", "outbox.event.${routedByValue}")))
}

// place reads columns that become headers: COLUMN:header or COLUMN:header:NAME, with commas between.
func (l *Layout) place(list string) error {
	if list == "" {
		return nil
	}
	for entry := range strings.SplitSeq(list, ",") {
		parts := strings.Split(strings.TrimSpace(entry), ":")
		if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
			return fmt.Errorf("table.fields.additional.placement: %q is not COLUMN:PLACE:NAME", entry)
		}
		if parts[1] != "header" {
			return fmt.Errorf("table.fields.additional.placement: %q; the relay places columns in headers alone: the value is the payload, "+
				"byte for byte, and the partition comes from the key", entry)
		}
		name := parts[len(parts)-1]
		if len(parts) == 2 {
			name = parts[0]
		}
		if topic.Reserved(name) {
			return fmt.Errorf("table.fields.additional.placement: %q; the relay writes a header of that name itself", entry)
		}
		for _, c := range l.columns {
			if c.name == parts[0] && (c.role == payload || c.role == occurredAt) {
				return fmt.Errorf("table.fields.additional.placement: %q; Debezium writes that column in a form of its own", entry)
			}
		}
		l.columns = append(l.columns, column{name: parts[0], role: placed + role(len(l.placed)), nullable: true})
		l.placed = append(l.placed, name)
	}
	return nil
}

// converters refuses those that write other bytes than the columns' own.
func (l *Layout) converters(p properties, expanded bool) (err error) {
	const missing = "(missing, so the worker's own)"
	if partitioner := p.take("producer.override.partitioner.class", ""); partitioner != "" {
		err = errors.Join(err, fmt.Errorf("producer.override.partitioner.class: %s; the relay goes by the key", partitioner))
	}
	if key := p.take("key.converter", missing); key != stringClass {
		err = errors.Join(err, fmt.Errorf("key.converter: %s; want %s: other bytes would go to other partitions", key, stringClass))
	}
	plain := p.take("value.converter.schemas.enable", "true") == "false"
	switch value := p.take("value.converter", missing); value {
	case stringClass:
		if expanded {
			err = errors.Join(err, errors.New("table.expand.json.payload: true; with StringConverter that is not JSON"))
		}
	case "org.apache.kafka.connect.converters.ByteArrayConverter":
		l.bytesOnly = true
	case "io.debezium.converters.BinaryDataConverter", "io.debezium.converters.ByteBufferConverter":
		for name := range p {
			if strings.HasPrefix(name, "value.converter.delegate") { // for heartbeats
				delete(p, name)
			}
		}
		l.bytesOnly = true // of others, the delegate makes something else
	case "org.apache.kafka.connect.json.JsonConverter":
		if !expanded || !plain {
			err = errors.Join(err, errors.New("value.converter: JsonConverter, which puts the payload in quotes or in an envelope with its schema; "+
				"the relay writes the payload itself, as that converter does with table.expand.json.payload=true and value.converter.schemas.enable=false"))
		}
	default:
		err = errors.Join(err, fmt.Errorf("value.converter: %s; the relay writes the payload as it is", value))
	}
	switch converter := p.take("header.converter", stringClass); converter {
	case stringClass, "org.apache.kafka.connect.storage.SimpleHeaderConverter":
	default:
		err = errors.Join(err, fmt.Errorf("header.converter: %s; want SimpleHeaderConverter or StringConverter", converter))
	}
	return err
}

// extras reads the relay's own properties.
func (l *Layout) extras(p properties) (err error) {
	l.Order, l.DeadLetters = p.take("relay.order.by", ""), p.take("relay.dead.letter.topic", "")
	if l.Order != "" && len(l.Tables) > 1 {
		err = errors.New("relay.order.by: rows of several tables have no common order: one table for each connector, or snapshot.mode=no_data without it")
	}
	l.PruneBy = p.take("relay.prune.by", "")
	if after := p.take("relay.prune.after", ""); after != "" || l.PruneBy != "" {
		var failed error
		l.PruneAfter, failed = time.ParseDuration(after)
		if failed != nil || l.PruneAfter < time.Minute || l.PruneBy == "" {
			err = errors.Join(err, fmt.Errorf("relay.prune.after: %s; want a time of a minute or more, such as 24h, and in relay.prune.by the column with "+
				"a row's time", after))
		}
	}
	switch style := p.take("relay.headers", "cloudevents"); style {
	case "cloudevents":
	case "plain":
		l.Plain = true
	default:
		err = errors.Join(err, fmt.Errorf("relay.headers: %s; want cloudevents or plain", style))
	}
	return err
}
