package supervise

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a program has used, over all its processes.
type Usage struct {
	CPU    time.Duration // user and system
	MaxRSS int64         // bytes, the largest seen in any of its processes; 0 where /proc does not tell
	Starts int
}

// Usage reads what the program has used until now. The memory of a process that ended counts only if Usage was called
// while it ran: what the kernel reports after its end (ru_maxrss) contains the memory of the parent that started it.
func (p *Program) Usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.past
	if p.process != nil {
		now := Of(p.process.PID())
		p.past.MaxRSS = max(p.past.MaxRSS, now.MaxRSS)
		u = Usage{CPU: u.CPU + now.CPU, MaxRSS: p.past.MaxRSS, Starts: u.Starts + 1}
	}
	return u
}

// Of reads what a running process has used, zeros where there is no /proc.
func Of(pid int) Usage {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
	return Usage{CPU: cpu(stat), MaxRSS: highWater(status), Starts: 1}
}

// highWater finds "VmHWM:   12345 kB" in /proc/pid/status (proc(5)).
func highWater(status []byte) int64 {
	for line := range bytes.Lines(status) {
		if rest, found := bytes.CutPrefix(line, []byte("VmHWM:")); found {
			var kb int64
			_, _ = fmt.Sscan(string(rest), &kb)
			return kb << 10
		}
	}
	return 0
}

// Family reads the CPU of a process, of its children that live and of those that have ended. Its memory is left out: a
// sum would count shared pages several times.
func Family(pid int) Usage {
	u := Usage{Starts: 1}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		stat, _ := os.ReadFile(path) // a process may end meanwhile
		f := fields(stat)
		switch {
		case path == filepath.Join("/proc", strconv.Itoa(pid), "stat"):
			u.CPU += ticks(f, utime, stime, cutime, cstime)
		case len(f) > ppid && f[ppid] == strconv.Itoa(pid):
			u.CPU += ticks(f, utime, stime)
		}
	}
	return u
}

// Places in what fields returns: the number of the field in /proc/pid/stat (proc(5)) less 3.
const (
	ppid   = 1
	utime  = 11
	stime  = 12
	cutime = 13
	cstime = 14
)

func cpu(stat []byte) time.Duration { return ticks(fields(stat), utime, stime) }

// fields splits /proc/pid/stat behind the program's name, which may hold anything.
func fields(stat []byte) []string {
	end := bytes.LastIndex(stat, []byte(") "))
	if end < 0 {
		return nil
	}
	return strings.Fields(string(stat[end+2:]))
}

// ticks adds up fields that count in units of 10 ms, as they do on every Linux that Go runs on.
func ticks(fields []string, places ...int) time.Duration {
	var sum int64
	for _, p := range places {
		if p < len(fields) {
			n, _ := strconv.ParseInt(fields[p], 10, 64)
			sum += n
		}
	}
	return time.Duration(sum) * 10 * time.Millisecond
}

// LastLine returns the last line of the log that is not empty, "" when there is none.
func LastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const tail = 4 << 10
	if size, err := f.Seek(0, 2); err == nil {
		_, _ = f.Seek(max(0, size-tail), 0)
	}
	b := make([]byte, tail)
	n, _ := f.Read(b)
	lines := strings.Split(strings.TrimSpace(string(b[:n])), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
