// Package ports picks TCP ports for servers on the loopback interface.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The range that Free picks from lies below the ports that Linux gives to outgoing connections (32768 and up). Otherwise
// some client could be given the port of a server that was killed, and the server could not start again.
const first, end = 20000, 32768

// Free returns a port of 127.0.0.1 that nobody listens on at the moment. Nothing reserves it, so whoever takes it must be
// ready to find it taken; that two pick the same at once is unlikely, because it is a random one.
func Free() (int, error) {
	var err error
	for range 100 {
		port := first + rand.IntN(end-first)
		var l net.Listener
		l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // it waits for nothing
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d: %w", first, end-1, errors.Unwrap(err))
}
