//go:build !linux

package bench

import "time"

// nap waits on a timer, which may take a millisecond where less was asked for.
func nap(d time.Duration) { <-time.After(d) }
