package wal

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// boundSilence makes the connection break when what was sent was not acknowledged for senderTimeout. TCP alone would go on
// for a quarter of an hour, and the relay would believe for as long that it streams: it is the one that speaks, so that
// keepalives, which are for connections on which nobody does, are never sent.
func boundSilence(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var err error
	controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(senderTimeout.Milliseconds()))
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}
