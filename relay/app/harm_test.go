package app

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
)

// A relay that was paused for longer than Postgres waits goes on in the middle of what it did, with all that it believes, beside the
// one that has taken over.
func TestPausedInEachWindow_I4_I6(t *testing.T) {
	t.Parallel()
	inEachWindow(t, crash.Pause, func(s *system, process *os.Process, log *transcript) {
		s.wait("the relay to stand still", func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process.Pid))
			return err == nil && bytes.Contains(stat, []byte(") T "))
		})
		s.start()
		s.write(3, 2)
		s.published()
		before := log.roles()
		if err := process.Signal(syscall.SIGCONT); err != nil {
			s.t.Fatal(err)
		}
		s.wait("the relay that was paused to find its place", func() bool { return log.roles() > before })
	})
}

// Whatever is asked of Postgres or Kafka next is an error, at each step: the one way back is a new session.
func TestCutOffInEachWindow_I3_I4_I5(t *testing.T) {
	t.Parallel()
	inEachWindow(t, crash.Cut, func(*system, *os.Process, *transcript) {})
}

// inEachWindow has a relay come to a harm that it survives at each point, does what is given, and holds the topic against the table.
func inEachWindow(t *testing.T, by crash.Harm, then func(s *system, process *os.Process, log *transcript)) {
	t.Helper()
	binary := crashing(t)
	for _, point := range crash.Points {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			s := setupBefore(t, point)
			hits, log := filepath.Join(t.TempDir(), "hits"), &transcript{to: t.Output()}
			process, dead := s.victim(t.Context(), binary, string(point), hits, by, log)
			t.Cleanup(func() { <-dead }) //nolint:errcheck // it is killed
			s.provoke(point)
			s.wait("the relay to come to harm", func() bool {
				if point != crash.IdleBefore {
					s.write(1, 2)
				}
				reached, _ := os.ReadFile(hits)
				return len(reached) > 0
			})
			then(s, process, log)
			s.write(3, 2)
			s.published()
			if err := process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("the relay has ended: %v", err)
			}
		})
	}
}

// transcript is what a relay has logged.
type transcript struct {
	testenv.Output

	to io.Writer
}

// Write implements io.Writer.
func (l *transcript) Write(b []byte) (int, error) { return io.MultiWriter(&l.Output, l.to).Write(b) }

// roles is how often the relay has become active or a standby.
func (l *transcript) roles() int {
	said := l.String()
	return strings.Count(said, `"msg":"publishing"`) + strings.Count(said, `"msg":"standing by"`)
}
