package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// lines writes a line for each record of a topic.
type lines struct {
	out     io.Writer
	json    bool
	markers bool
	order   string // whose events alone are shown; "" for all
	began   time.Time
	shown   int
	open    map[transaction]bool // those of which a record was shown and no marker yet
}

// transaction is one that may be open in a partition: a producer has no two there.
type transaction struct {
	partition int32
	producer  int64
}

func newLines(out io.Writer, c *tailCmd) *lines {
	return &lines{out: out, json: c.JSON, markers: c.Markers, order: c.Order, began: time.Now(), open: make(map[transaction]bool)}
}

// recordLine is a record, in the JSON form.
type recordLine struct {
	At        time.Time  `json:"at"` // the record's: when an event's transaction committed in Postgres
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Producer  int64      `json:"producer_id"`
	Epoch     int16      `json:"producer_epoch"`
	Marker    string     `json:"marker,omitempty"` // COMMIT or ABORT; of an event it is absent, and so is what follows of a marker
	Order     uuid.UUID  `json:"order_id,omitzero"`
	Version   int64      `json:"version,omitempty"`
	Type      event.Type `json:"type,omitempty"`
	ID        uuid.UUID  `json:"event_id,omitzero"`
	Commit    outbox.LSN `json:"commit_lsn,omitzero"`
	Index     int        `json:"tx_index"`
	Latency   float64    `json:"latency_ms,omitempty"` // from the commit until it arrived here; absent if it was there before
	NoEvent   string     `json:"not_an_event,omitempty"`
	Key       string     `json:"key,omitempty"` // of what is not an event, as the next one
	Value     string     `json:"value,omitempty"`
}

// show writes the record's line, unless it is not among those that are to be shown.
func (l *lines) show(r *kgo.Record, arrived time.Time) error {
	t := transaction{r.Partition, r.ProducerID}
	switch {
	case r.Attrs.IsControl():
		known := l.open[t]
		delete(l.open, t)
		if !l.markers || l.order != "" && !known {
			return nil
		}
	case l.order != "" && string(r.Key) != l.order:
		return nil
	default:
		l.open[t] = true
	}
	l.shown++
	line := l.of(r, arrived)
	if l.json {
		return json.NewEncoder(l.out).Encode(line)
	}
	_, err := fmt.Fprintln(l.out, line)
	return err
}

func (l *lines) of(r *kgo.Record, arrived time.Time) recordLine {
	line := recordLine{At: r.Timestamp.UTC(), Partition: r.Partition, Offset: r.Offset, Producer: r.ProducerID, Epoch: r.ProducerEpoch}
	if r.Attrs.IsControl() {
		line.Marker = marker(r)
		return line
	}
	m, err := topic.Parse(r)
	if err != nil {
		line.NoEvent, line.Key, line.Value = err.Error(), string(r.Key), string(r.Value)
		return line
	}
	line.Order, line.Version, line.Type, line.ID = m.Order, m.Version, m.Type, m.ID
	line.Commit, line.Index = m.Source.Commit, m.Source.Index
	if !r.Timestamp.Before(l.began) {
		line.Latency = float64(arrived.Sub(r.Timestamp).Microseconds()) / 1000
	}
	return line
}

// marker is what a control record is called.
func marker(r *kgo.Record) string {
	switch how, ends := broker.EndOf(r); {
	case !ends:
		return "CONTROL"
	case how == kgo.TryAbort:
		return "ABORT"
	}
	return "COMMIT"
}

// String is the line for people.
func (r recordLine) String() string {
	begin := r.At.Format("15:04:05.000") + "  " + fmt.Sprintf("%-8s", life.Place(r.Partition, r.Offset)) + "  "
	switch {
	case r.Marker != "":
		return begin + fmt.Sprintf("%s of producer %d, epoch %d", r.Marker, r.Producer, r.Epoch)
	case r.NoEvent != "":
		return begin + fmt.Sprintf("not an event: key %q, value %s", r.Key, excerpt(r.Value))
	}
	text := begin + fmt.Sprintf("%s  v%-2d  %-28s", r.Order, r.Version, r.Type)
	if r.Commit > 0 {
		text += fmt.Sprintf("  %s[%d]", r.Commit, r.Index)
	}
	if r.Latency > 0 {
		text += fmt.Sprintf("  +%.0fms", r.Latency)
	}
	return text
}

// excerpt is the beginning of what may be long, or no text.
func excerpt(value string) string {
	const most = 600
	text, rest := value, ""
	if len(value) > most {
		text, rest = value[:most], fmt.Sprintf("... (%d bytes)", len(value))
	}
	if !strconv.CanBackquote(text) { // it has what a terminal does not show
		text = strconv.Quote(text)
	}
	return text + rest
}
