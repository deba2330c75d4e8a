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

// cpu reads utime and stime, fields 14 and 15 of /proc/pid/stat, in ticks of 10 ms on every Linux that Go runs on. The
// fields are counted from the end of the name, which may hold anything.
func cpu(stat []byte) time.Duration {
	_, rest, found := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
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
