package ops

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pseudoterminal makes a terminal (pty(7)): what is written to the one end is read from the other.
func pseudoterminal(t *testing.T) (program, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	n := 0
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var errIoctl error
	err = raw.Control(func(fd uintptr) {
		if errIoctl = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); errIoctl == nil {
			n, errIoctl = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || errIoctl != nil {
		t.Fatal(err, errIoctl)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return program, person
}

func TestATerminalGetsTextAndAFileOrPipeGetsJSON(t *testing.T) {
	t.Parallel()
	flags, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	program, person := pseudoterminal(t)
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	for name, c := range map[string]struct {
		to, from *os.File
		want     string
	}{
		"terminal": {program, person, "time="},
		"file":     {file, file, `{"time":`},
		"pipe":     {writer, reader, `{"time":`},
	} {
		flags.Log("relay", c.to).Info("started")
		if c.from == file {
			if _, err := file.Seek(0, 0); err != nil {
				t.Fatal(err)
			}
		}
		line, err := bufio.NewReader(c.from).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, c.want) {
			t.Errorf("%s: got %q, %v; want %s...", name, line, err, c.want)
		}
	}
}
