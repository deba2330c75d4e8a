package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
)

// StandbySlot is the physical replication slot that a Standby takes of its primary.
const StandbySlot = "standby"

// Standby copies the stopped cluster to one that follows it, and keeps up the failover slots of a database (Postgres 17 and
// later). Both are to be started; the standby, then, ends with the test.
func (c *Cluster) Standby(database string) *Cluster {
	c.t.Helper()
	dir, remove, err := scratch()
	if err != nil {
		c.t.Fatal(err)
	}
	primary, err := url.Parse(c.URL(database))
	if err != nil {
		c.t.Fatal(err)
	}
	password, _ := primary.User.Password()
	config := c.config
	config.Dir, config.Port, config.Settings = dir, 0, maps.Clone(c.config.Settings)
	maps.Copy(config.Settings, map[string]string{
		"primary_conninfo": fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%s", primary.Hostname(), primary.Port(),
			primary.User.Username(), password, database),
		"primary_slot_name":      StandbySlot,
		"hot_standby_feedback":   "on",
		"sync_replication_slots": "on",
	})
	data := filepath.Join(dir, "data")
	c.command("cp", "-a", filepath.Join(c.config.Dir, "data"), data)
	c.command("cp", "-a", filepath.Join(c.config.Dir, "password"), dir)
	c.command("cp", "-a", filepath.Join(data, "PG_VERSION"), filepath.Join(data, "standby.signal")) // of the same owner; nobody reads it
	standby := &Cluster{t: c.t, config: config}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if standby.server != nil {
			err = standby.server.Stop(ctx, pgserver.Immediate)
		}
		if err := errors.Join(err, remove()); err != nil {
			c.t.Error(err)
		}
	})
	return standby
}
