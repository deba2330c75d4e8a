package wal

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// That the kernel then breaks a connection to a machine that is gone is the kernel's promise.
func TestConnectionBoundsHowLongTheServerMayBeSilent(t *testing.T) {
	t.Parallel()
	s := setupWithoutSlot(t)
	raw, err := s.replication().Conn().(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if controlErr := raw.Control(func(fd uintptr) {
		got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); controlErr != nil {
		t.Fatal(controlErr)
	}
	if int64(got) != senderTimeout.Milliseconds() || err != nil {
		t.Errorf("got %d ms, %v; want %s", got, err, senderTimeout)
	}
}
