package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func redriven(done view.Redriven) string {
	text := counted(done.Applied, "event applied", "events applied")
	if done.Duplicates > 0 {
		text += fmt.Sprintf(", %d had been before", done.Duplicates)
	}
	if done.Left > 0 {
		text += fmt.Sprintf(", %d still waiting: %s", done.Left, oneLine(done.Why))
	}
	return text
}

func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// printBlocked prints a line for each order, with its first letter, and for each record that is no order's.
func printBlocked(out io.Writer, letters []view.Letter, state string) error {
	if len(letters) == 0 {
		if state == "waiting" {
			_, err := fmt.Fprintln(out, "No dead letters wait.")
			return err
		}
		_, err := fmt.Fprintln(out, "No such letters.")
		return err
	}
	count := make(map[uuid.UUID]int)
	for _, l := range letters {
		count[l.Order]++
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ORDER\tLETTERS\tFIRST\tVERSION\tREASON\tPARKED\tERROR")
	seen := make(map[uuid.UUID]bool)
	for _, l := range letters {
		name, n := l.Order.String(), count[l.Order]
		if l.Order == uuid.Nil {
			name, n = "(none)", 1
		} else if seen[l.Order] {
			continue
		}
		seen[l.Order] = true
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", name, n, place(l), version(l), l.Reason, l.Parked.UTC().Format(time.RFC3339), l.Error)
	}
	return w.Flush()
}

func place(l view.Letter) string { return fmt.Sprintf("%d:%d", l.Part, l.Offset) }

func version(l view.Letter) string {
	if l.Version == 0 {
		return "-"
	}
	return fmt.Sprintf("v%d", l.Version)
}

func printLetters(out io.Writer, letters []view.Letter) error {
	for i, l := range letters {
		if i > 0 {
			fmt.Fprintln(out)
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		line := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, value) }
		line("record", place(l)+", of "+l.Record.At.UTC().Format(time.RFC3339Nano))
		line("order", l.Order.String())
		line("version", version(l))
		line("reason", string(l.Reason)+": "+l.Error)
		line("state", stateOf(l))
		line("key", text(l.Record.Key))
		for _, h := range l.Record.Headers {
			line("header "+h.Key, text(h.Value))
		}
		id, payload, registered := topic.Split(l.Record.Value)
		if registered {
			line("schema id", strconv.FormatUint(uint64(id), 10))
		}
		line("value", text(payload))
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func stateOf(l view.Letter) string {
	state := l.State + ", parked " + l.Parked.UTC().Format(time.RFC3339)
	if l.Settled != nil {
		state += ", " + l.State + " " + l.Settled.UTC().Format(time.RFC3339)
	}
	if l.Note != "" {
		state += ": " + l.Note
	}
	return state
}

// text shows bytes as they are if a terminal can take them, else as a Go string.
func text(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool { return r < ' ' || r == 0x7f }):
		return string(b)
	}
	return fmt.Sprintf("%q", b)
}

// letterJSON is a letter as --json prints it.
type letterJSON struct {
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Order     *uuid.UUID   `json:"order_id"` // null: the record's key is none
	Version   *int64       `json:"version"`  // null: not known
	Reason    view.Reason  `json:"reason"`
	Error     string       `json:"error"`
	State     string       `json:"state"`
	Parked    time.Time    `json:"parked_at"`
	Settled   *time.Time   `json:"settled_at"`
	Note      string       `json:"note,omitempty"`
	Recorded  time.Time    `json:"recorded_at"`
	Key       []byte       `json:"key"` // this and the next two in base64
	Value     []byte       `json:"value"`
	Headers   []headerJSON `json:"headers"`
}

type headerJSON struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

func printLettersJSON(out io.Writer, letters []view.Letter) error {
	all := make([]letterJSON, len(letters))
	for i, l := range letters {
		all[i] = letterJSON{
			Partition: l.Part, Offset: l.Offset, Reason: l.Reason, Error: l.Error, State: l.State, Parked: l.Parked.UTC(), Settled: l.Settled,
			Note: l.Note, Recorded: l.Record.At.UTC(), Key: l.Record.Key, Value: l.Record.Value, Headers: []headerJSON{},
		}
		if l.Order != uuid.Nil {
			all[i].Order = &letters[i].Order
		}
		if l.Version > 0 {
			all[i].Version = &letters[i].Version
		}
		for _, h := range l.Record.Headers {
			all[i].Headers = append(all[i].Headers, headerJSON(h))
		}
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
