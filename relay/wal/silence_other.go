//go:build !linux

package wal

import "syscall"

// boundSilence does nothing: here TCP's own patience must do.
func boundSilence(string, string, syscall.RawConn) error { return nil }
