//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var hits atomic.Int64

// At does harm to the process if CRASH_AT names the point: at its first hit, or at the n-th for NAME:n. Just before, it appends
// the point's name to the file CRASH_HITS, so that a test knows that the point was reached. CRASH_BY says which Harm.
func At(p Point) {
	name, count, counted := strings.Cut(os.Getenv("CRASH_AT"), ":")
	if name != string(p) {
		return
	}
	nth, err := strconv.ParseInt(count, 10, 64)
	if !counted || err != nil {
		nth = 1
	}
	if hits.Add(1) != nth {
		return
	}
	if f, err := os.OpenFile(os.Getenv("CRASH_HITS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(f, p)
		f.Close()
	}
	switch Harm(os.Getenv("CRASH_BY")) {
	case Pause:
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case Cut:
		cut()
	default:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// cut shuts down all of the process's connections, so that whatever it asks of others next is an error. Where it listens, it goes on.
func cut() {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, entry := range open {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err == nil && listens == 0 {
			_ = syscall.Shutdown(fd, syscall.SHUT_RDWR) // an error: it was broken before
		}
	}
}
