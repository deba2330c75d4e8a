//go:build !linux

package testenv

import "testing"

// Volume is a file system of its own whose power can be cut. There is none on this system.
type Volume struct{}

// NewVolume skips the test.
func NewVolume(t testing.TB) *Volume {
	t.Helper()
	t.Skip("a power loss takes a file system of its own, and so Linux")
	return nil
}

// Dir is where the volume is mounted.
func (v *Volume) Dir() string { return "" }

// Sync writes all of the volume to the device.
func (v *Volume) Sync() {}

// CutPower ends every write to the device at once.
func (v *Volume) CutPower() {}

// Restore mounts what was on the device when the power was cut.
func (v *Volume) Restore() {}

func detach(string) {}
