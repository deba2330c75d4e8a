package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// relayStatus is what a relay says of itself.
type relayStatus struct {
	Address  string   `json:"address"`
	Role     string   `json:"role"` // starting, standby, paused or active; empty if it does not answer
	NotReady []string `json:"not_ready,omitempty"`
	Error    string   `json:"error,omitempty"` // why it does not answer

	refused bool // it is there, and wants another token
}

// askWithin bounds a question to a relay.
const askWithin = 2 * time.Second

// askRelay asks a relay who it is. One that does not answer is no error: it may run elsewhere, or nowhere.
func (c *statusCommand) askRelay(ctx context.Context, client *http.Client, address string) relayStatus {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	s := relayStatus{Address: address}
	local, err := ops.Local(address)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	err = get(ctx, client, c.URL(local)+"/metrics", func(body io.Reader) (err error) {
		s.Role, err = roleIn(body)
		return err
	})
	if err == nil {
		err = get(ctx, client, c.URL(local)+"/readyz?verbose", func(body io.Reader) error {
			lines := bufio.NewScanner(body)
			for lines.Scan() {
				if reason, is := strings.CutPrefix(lines.Text(), "[-] "); is {
					s.NotReady = append(s.NotReady, reason)
				}
			}
			return lines.Err()
		})
	}
	if err != nil {
		s.Error = err.Error()
		_, s.refused = errors.AsType[auth.Refusal](err)
	}
	return s
}

// get hands the body of an answer to read, whatever the status: /readyz explains itself in those that are no success.
func get(ctx context.Context, client *http.Client, url string, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := auth.Refused(answer); err != nil {
		return err
	}
	const most = 4 << 20
	return read(io.LimitReader(answer.Body, most))
}

// roleIn finds the role in a relay's metrics.
func roleIn(body io.Reader) (string, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(body)
	if err != nil {
		return "", err
	}
	for _, m := range families["relay_role"].GetMetric() {
		if m.GetGauge().GetValue() == 1 {
			return m.GetLabel()[0].GetValue(), nil
		}
	}
	return "", fmt.Errorf("it is no relay: its metrics name no role")
}

// write prints one screen.
func (s status) write(w io.Writer) {
	for _, r := range s.Relays {
		switch {
		case r.refused:
			fmt.Fprintf(w, "relay       %s does not say: %s\n", r.Address, r.Error)
		case r.Error != "":
			fmt.Fprintf(w, "relay       %s does not answer\n", r.Address)
		case r.NotReady != nil:
			fmt.Fprintf(w, "relay       %s is %s, not ready\n", r.Address, r.Role)
		default:
			fmt.Fprintf(w, "relay       %s is %s\n", r.Address, r.Role)
		}
	}
	if s.Slot != nil {
		s.Slot.write(w)
	}
	if cp := s.Checkpoint; cp != nil {
		fmt.Fprintf(w, "checkpoint  %s, %d events, %s, written %s ago\n", cp.At.End, cp.Events, cp.Phase,
			ago(time.Since(cp.WrittenAt)))
		if cp.Reason != "" {
			fmt.Fprintf(w, "            recovered last because: %s\n", cp.Reason)
		}
		for _, override := range cp.Overrides {
			fmt.Fprintf(w, "            gate opened: %s\n", override)
		}
	}
	if b := s.Behind; b != nil {
		fmt.Fprintf(w, "behind      %s of log", size(b.Bytes))
		if b.Events != nil {
			fmt.Fprintf(w, ", %d events", *b.Events)
			if *b.Events > 0 {
				fmt.Fprintf(w, ", the oldest %s old", ago(time.Duration(*b.Age*float64(time.Second))))
			}
		}
		fmt.Fprintln(w)
	}
	for _, reason := range s.NotReady {
		fmt.Fprintf(w, "not ready   %s\n", reason)
	}
}

func (s *slotStatus) write(w io.Writer) {
	fmt.Fprintf(w, "slot        %s, %s, ", s.Name, s.Status)
	if s.Holder != nil {
		fmt.Fprintf(w, "active: %s\n", s.Holder)
	} else {
		fmt.Fprintln(w, "not in use")
	}
	fmt.Fprintf(w, "            %s held back", size(s.Retained))
	switch {
	case s.LostIn != nil:
		fmt.Fprintf(w, "; unacknowledged, it is lost in %s at %s/s", ago(time.Duration(*s.LostIn*float64(time.Second))),
			size(int64(s.Rate)))
	case s.Safe != nil:
		fmt.Fprintf(w, ", %s may follow; nothing is written", size(max(0, *s.Safe)))
	default:
		fmt.Fprintf(w, ", without a limit (max_slot_wal_keep_size)")
	}
	fmt.Fprintln(w)
}

// ago prints a span for a reader: of days to the minute, of a moment to the tenth.
func ago(d time.Duration) string {
	switch d = max(0, d); {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%s", d/(24*time.Hour),
			strings.TrimSuffix((d%(24*time.Hour)).Truncate(time.Minute).String(), "0s"))
	case d >= time.Minute:
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// size prints bytes for a reader.
func size(n int64) string {
	const unit = 1 << 10
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < 3 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[prefix])
}
