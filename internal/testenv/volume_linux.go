package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Volume is an ext4 file system of its own, on a loop device, whose power can be cut: what was not written to the device
// by then is gone, however often a program was told that it had been written.
//
// It promises what a host that loses its power does to the kernel's cache, not what a disk does that forgets what it said
// it had flushed.
type Volume struct {
	t       testing.TB
	image   string
	dir     string
	mounted bool
}

// volumeDir is the mount point's name in a scratch directory.
const volumeDir = "volume"

// NewVolume makes and mounts one, which ends with the test; what lies on it must have stopped by then. Where none can be
// made the test is skipped.
func NewVolume(t testing.TB) *Volume {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a power loss takes a file system of its own: run the test as root")
	}
	dir, remove, err := scratch()
	if err != nil {
		t.Fatal(err)
	}
	v := &Volume{t: t, image: filepath.Join(dir, "image"), dir: filepath.Join(dir, volumeDir)}
	t.Cleanup(func() {
		if v.mounted {
			v.unmount()
		}
		if err := remove(); err != nil {
			t.Error(err)
		}
	})
	if err := v.make(); err != nil {
		t.Skipf("no file system of its own for a power loss: it takes root, loop devices, mkfs.ext4 and mount (apt-get install e2fsprogs mount): %v", err)
	}
	return v
}

func (v *Volume) make() error {
	const size = 1 << 30 // a hole, but for what is written
	if err := os.WriteFile(v.image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(v.image, size); err != nil {
		return err
	}
	if err := run(v.t.Context(), "mkfs.ext4", "-q", "-F", v.image); err != nil {
		return err
	}
	if err := os.Mkdir(v.dir, 0o755); err != nil {
		return err
	}
	return v.mount()
}

// mount mounts the image so that the kernel writes by itself as late as it can. Its loop device goes away by itself too.
func (v *Volume) mount() error {
	err := run(v.t.Context(), "mount", "-t", "ext4", "-o", "loop,commit=600", v.image, v.dir)
	v.mounted = err == nil
	return err
}

func (v *Volume) unmount() {
	v.t.Helper()
	if err := unix.Unmount(v.dir, unix.MNT_DETACH); err != nil {
		v.t.Fatalf("unmount %s: %v", v.dir, err)
	}
	v.mounted = false
}

// Dir is where the volume is mounted.
func (v *Volume) Dir() string { return v.dir }

// Sync writes all of the volume to the device.
func (v *Volume) Sync() {
	v.t.Helper()
	v.with(func(fd int) error { return unix.Syncfs(fd) })
}

// The ioctl by which a file system is told that its device is gone, and the flag by which it does not even write its
// journal before.
const (
	ext4Shutdown = 0x8004587d
	noLogFlush   = 2
)

// CutPower ends every write to the device at once. Who has files open gets input/output errors, until Restore.
func (v *Volume) CutPower() {
	v.t.Helper()
	if err := os.WriteFile(v.witness(), unsynced, 0o600); err != nil {
		v.t.Fatal(err)
	}
	v.with(func(fd int) error { return unix.IoctlSetPointerInt(fd, ext4Shutdown, noLogFlush) })
}

// Restore mounts what was on the device when the power was cut, under the same name. It is a copy of it: whoever else has
// seen the mount, a container that was started meanwhile for one, keeps the old file system in use.
func (v *Volume) Restore() {
	v.t.Helper()
	v.unmount()
	old := v.image
	v.image += "'"
	if err := run(v.t.Context(), "cp", "--sparse=always", old, v.image); err != nil {
		v.t.Fatal(err)
	}
	if err := errors.Join(os.Remove(old), v.mount()); err != nil {
		v.t.Fatal(err)
	}
	if found, _ := os.ReadFile(v.witness()); bytes.Equal(found, unsynced) { // mostly it is not there
		v.t.Fatal("what was written right before the power was cut is still there: nothing was lost")
	}
}

// unsynced is written right before the power is cut, and must be lost.
var unsynced = bytes.Repeat([]byte("unsynced "), 1000)

func (v *Volume) witness() string { return filepath.Join(v.dir, "witness") }

func (v *Volume) with(f func(fd int) error) {
	v.t.Helper()
	dir, err := os.Open(v.dir)
	if err != nil {
		v.t.Fatal(err)
	}
	defer dir.Close()
	if err := f(int(dir.Fd())); err != nil {
		v.t.Fatalf("%s: %v", v.dir, err)
	}
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// detach lets go of a volume that a killed test binary left in its scratch directory.
func detach(dir string) { _ = unix.Unmount(filepath.Join(dir, volumeDir), unix.MNT_DETACH) }
