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

// At kills the process, as kill -9 would, if CRASH_AT names the point: at its first hit, or at the n-th for NAME:n.
// Just before, it appends the point's name to the file CRASH_HITS, so that a test knows that the point was reached.
func At(p Point) {
	name, count, counted := strings.Cut(os.Getenv("CRASH_AT"), ":")
	if name != string(p) {
		return
	}
	if n, err := strconv.ParseInt(count, 10, 64); counted && err == nil && hits.Add(1) != n {
		return
	}
	if f, err := os.OpenFile(os.Getenv("CRASH_HITS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(f, p)
		f.Close()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
