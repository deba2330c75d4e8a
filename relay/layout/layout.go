// Package layout says which tables are an outbox, what their columns mean, and which topic a row goes to.
//
// A Layout is either the orders database's own, or read from the configuration of a Debezium connector with its outbox event
// router, so that whoever has one changes a configuration and not a table. It promises that a row which does not fit is an
// error and never another row: a column that is missing, of a type whose text is not the value, or NULL where it must not be.
package layout

import (
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Layout describes the outbox of a database. All of its tables have the same columns.
type Layout struct {
	Publication string
	Tables      []Table
	columns     []column
	bytesOnly   bool     // the payload must be a bytea
	placed      []string // the headers that columns are placed in

	// Name is what the checkpoint topic and the transactional id are called after, and Slot the replication slot; empty for
	// those that the program is given.
	Name, Slot string

	// Own says that it is the orders database's: its migrations are there, rows stay in the table for ever, so that what was
	// published can be looked for there, and they can be counted by their seq.
	Own bool
	// Order is the column in whose order rows are read from the table, which must be the order of commits for the rows of one
	// key; empty for none, then they cannot be.
	Order string
	// Fresh says that the table is never read: only what the slot sends is published.
	Fresh bool

	// PruneAfter is how old, by the column PruneBy, a published row is when it is deleted; 0 for never.
	PruneAfter time.Duration
	PruneBy    string

	// DeadLetters is the topic for rows that cannot be published to theirs; empty for none, then the relay halts at one.
	DeadLetters string

	Plain      bool // headers: only those that Debezium writes
	Stamped    bool // a record's timestamp is the time column's, and not the commit's
	Tombstones bool // an empty payload becomes a null value

	route *route // nil where the topic is the program's
}

// Binary says that payloads are bytes of any form.
func (l *Layout) Binary() bool { return l.bytesOnly }

// Table is a table's name.
type Table struct{ Schema, Name string }

// String is schema.name.
func (t Table) String() string { return t.Schema + "." + t.Name }

// Quoted is how the table is written in SQL.
func (t Table) Quoted() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// role is what a column means.
type role int

// The roles, which are the fields of an outbox.Row.
const (
	seq role = iota
	id
	aggregateType // names the topic, where rows are routed
	aggregateID   // the key
	eventType
	version
	payload
	headers
	occurredAt
	roles
	placed = roles // and above: the place of a header
)

// column says what a column of the table is for. One column may have several roles.
type column struct {
	name     string
	role     role
	nullable bool
	optional bool // it need not be there
}

// Own returns the layout of the orders database.
func Own() *Layout {
	return &Layout{
		Publication: outbox.Publication,
		Tables:      []Table{{"public", outbox.Table}},
		Own:         true, Order: outbox.ColumnSeq,
		columns: []column{
			{name: outbox.ColumnSeq, role: seq},
			{name: outbox.ColumnID, role: id},
			{name: outbox.ColumnAggregateType, role: aggregateType},
			{name: outbox.ColumnAggregateID, role: aggregateID},
			{name: outbox.ColumnType, role: eventType},
			{name: outbox.ColumnVersion, role: version},
			{name: outbox.ColumnPayload, role: payload},
			{name: outbox.ColumnHeaders, role: headers, nullable: true},
			{name: outbox.ColumnOccurredAt, role: occurredAt},
		},
	}
}

// Names returns the tables' names, sorted.
func (l *Layout) Names() (names []string) {
	for _, t := range l.Tables {
		names = append(names, t.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Columns returns the columns that must be there, each once.
func (l *Layout) Columns() []string { return l.names(func(c column) bool { return !c.optional }) }

// Others returns the columns that are not read from the log, and must be there nevertheless.
func (l *Layout) Others() (names []string) {
	for _, name := range []string{l.Order, l.PruneBy} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// NotNull returns those of them at whose NULL the relay halts.
func (l *Layout) NotNull() []string {
	return l.names(func(c column) bool { return !c.optional && !c.nullable })
}

// ID returns the column with the event's id.
func (l *Layout) ID() string { return l.names(func(c column) bool { return c.role == id })[0] }

func (l *Layout) names(with func(column) bool) (names []string) {
	for _, c := range l.columns {
		if with(c) && !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	return names
}

// Headers returns the headers that the values of outbox.Row.Placed are for.
func (l *Layout) Headers() []string { return l.placed }

// Routed says whether the topic depends on the row.
func (l *Layout) Routed() bool { return l.route != nil && l.route.fixed == "" }

// Whole returns an error if the row lacks what an event must have. Of the orders database's own rows, the binding has seen to it.
func (l *Layout) Whole(row outbox.Row) error {
	switch {
	case row.ID == nil:
		return l.lacks(id)
	case row.AggregateID == nil:
		return l.lacks(aggregateID)
	case row.AggregateType == nil && l.Routed():
		return l.lacks(aggregateType)
	}
	return nil
}

func (l *Layout) lacks(r role) error {
	name := l.names(func(c column) bool { return c.role == r })[0]
	return fmt.Errorf("column %q is NULL: an event must have it, or it has no place in the topic", name)
}

// RouteBy is the column that routes.
func (l *Layout) RouteBy() string { return l.route.column }

// Topic returns the topic of a row with this value in the column that routes.
func (l *Layout) Topic(value string) string { return l.route.topic(value) }

// FixedTopic returns the one topic of all rows; empty where it is the program's, or there are several.
func (l *Layout) FixedTopic() string {
	if l.route == nil {
		return ""
	}
	return l.route.fixed
}
