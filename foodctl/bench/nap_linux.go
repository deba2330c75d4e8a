package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps for less than a Go timer can: the runtime of an otherwise idle program waits in epoll, in whole
// milliseconds. An interruption cuts it short, which does no harm.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil)
}
