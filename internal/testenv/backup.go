package testenv

import (
	"os/exec"
	"path/filepath"
)

// Backup copies the files of the stopped cluster. restore puts the copy in the place of what is there then, again while
// the cluster is stopped: the same cluster and the same timeline, at an earlier time.
func (c *Cluster) Backup() (restore func()) {
	c.t.Helper()
	data := filepath.Join(c.config.Dir, "data")
	kept := data + ".backup"
	c.command("cp", "-a", data, kept)
	return func() {
		c.t.Helper()
		c.command("rm", "-rf", data)
		c.command("cp", "-a", kept, data)
	}
}

func (c *Cluster) command(name string, args ...string) {
	c.t.Helper()
	if out, err := exec.CommandContext(c.t.Context(), name, args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}
