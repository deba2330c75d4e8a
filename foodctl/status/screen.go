package status

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Style is how a Screen writes.
type Style string

// The styles.
const (
	Terminal Style = "terminal" // one status line, drawn again and again, under the notices
	Lines    Style = "lines"    // a line now and then, for a log
	JSON     Style = "json"     // an object a line, for a program
)

// StyleOf chooses the style for an output.
func StyleOf(w io.Writer, asJSON bool) Style {
	if asJSON {
		return JSON
	}
	if file, is := w.(*os.File); is {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return Terminal
		}
	}
	return Lines
}

// Every is how often a status is worth writing.
func (s Style) Every() time.Duration {
	if s == Lines {
		return 5 * time.Second
	}
	return time.Second
}

// Screen shows notices and the status. It is safe for concurrent use.
type Screen struct {
	style Style
	began time.Time

	mu   sync.Mutex // guards out and line
	out  io.Writer
	line string // the status that the cursor stands behind, on a terminal
}

// NewScreen makes a screen.
func NewScreen(out io.Writer, style Style) *Screen {
	return &Screen{style: style, began: time.Now(), out: out}
}

const (
	clearLine = "\r\x1b[K"
	truncate  = "\x1b[?7l" // a line that is too long is cut, not wrapped: a wrapped one could not be drawn again
	wrap      = "\x1b[?7h"
)

// Notice writes something that stays.
func (s *Screen) Notice(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	switch s.style {
	case JSON:
		s.encode(map[string]any{"at": time.Now().UTC(), "notice": text})
	case Terminal:
		fmt.Fprint(s.out, clearLine, text, "\n")
		s.draw()
	default:
		fmt.Fprintln(s.out, text)
	}
}

// Text writes lines for people; a program does not get them.
func (s *Screen) Text(text string) {
	if s.style == JSON {
		return
	}
	s.Notice("%s", strings.TrimRight(text, "\n"))
}

// Object writes an object for programs; people do not get it.
func (s *Screen) Object(v any) {
	if s.style != JSON {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.encode(v)
}

// Status writes the counts.
func (s *Screen) Status(c Counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.style {
	case JSON:
		s.encode(struct {
			At time.Time `json:"at"`
			Counts
		}{time.Now().UTC(), c})
	case Terminal:
		s.line = Line(time.Since(s.began), c)
		fmt.Fprint(s.out, clearLine)
		s.draw()
	default:
		fmt.Fprintln(s.out, Line(time.Since(s.began), c))
	}
}

// End leaves the last status where it is.
func (s *Screen) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != "" {
		fmt.Fprintln(s.out)
	}
	s.line = ""
}

func (s *Screen) draw() {
	if s.line != "" {
		fmt.Fprint(s.out, truncate, s.line, wrap)
	}
}

func (s *Screen) encode(v any) {
	_ = json.NewEncoder(s.out).Encode(v) // nobody is left to be told that the output is gone
}

// Line is the counts in one line.
func Line(elapsed time.Duration, c Counts) string {
	elapsed = elapsed.Round(time.Second)
	line := fmt.Sprintf("%02d:%02d  orders %d  written %d  published %d  applied %d  pending %d  duplicates %d",
		int(elapsed.Minutes()), int(elapsed.Seconds())%60, c.Orders, c.Written, c.Published, c.Applied, c.Pending, c.Duplicates)
	if c.P99 > 0 {
		line += fmt.Sprintf("  end to end p50 %s p99 %s", short(c.P50), short(c.P99))
	}
	return line
}

// short is a duration with two significant digits or so.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
