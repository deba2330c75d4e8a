package ops

import (
	"net"
	"time"
)

// Dialer makes TCP connections that break when what was sent is not acknowledged for so long, or the peer does not answer
// keepalives in about that time. TCP alone would go on for a quarter of an hour; keepalives alone would not do, as they
// are not sent while data waits for its acknowledgement. Where the system has no such limit, keepalives must do.
func Dialer(silence time.Duration) *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 2, Interval: max(time.Second, silence/5), Count: 3},
		Control:         boundUnacknowledged(silence),
	}
}
