package testenv

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

// Cluster is a Postgres server that belongs to one test, which may stop and kill it. It writes through to the disk, as
// the shared one does not, and keeps its port over restarts.
type Cluster struct {
	t      testing.TB
	config pgserver.Config
	server *pgserver.Server
}

// NewCluster starts a cluster, which ends with the test.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	return ClusterOf(t, os.Getenv("PG_VERSION"))
}

// ClusterOf is NewCluster, of a major version of Postgres; empty for the default one.
func ClusterOf(t testing.TB, version string) *Cluster {
	t.Helper()
	own := maps.Clone(settings)
	own["fsync"], own["full_page_writes"] = "on", "on"
	own["unix_socket_directories"] = "." // the data directory; see Socket
	return newCluster(t, version, own)
}

// BareCluster starts a cluster with Postgres's own settings, which ALTER SYSTEM can change, and ends it with the test.
func BareCluster(t testing.TB) *Cluster {
	t.Helper()
	return newCluster(t, os.Getenv("PG_VERSION"), nil)
}

func newCluster(t testing.TB, version string, settings map[string]string) *Cluster {
	t.Helper()
	dir, remove, err := scratch()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{t: t, config: pgserver.Config{
		Dir: dir, Version: version, Settings: settings, Progress: progress,
	}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if c.server != nil {
			err = c.server.Stop(ctx, pgserver.Immediate)
		}
		if err := errors.Join(err, remove()); err != nil {
			t.Error(err)
		}
	})
	c.Start()
	c.config.Port = c.server.Port()
	return c
}

// Start starts the server on its data and waits until it answers.
func (c *Cluster) Start() {
	c.t.Helper()
	s, err := pgserver.Start(c.t.Context(), c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.server = s
}

// Stop stops the server and waits, a minute at most, until it is gone.
func (c *Cluster) Stop(m pgserver.Mode) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if err := c.server.Stop(ctx, m); err != nil {
		c.t.Fatal(err)
	}
}

// Kill ends the postmaster with SIGKILL.
func (c *Cluster) Kill() {
	c.t.Helper()
	if err := c.server.Kill(); err != nil {
		c.t.Fatal(err)
	}
}

// URL returns a superuser's URL of a database. It stays the same over restarts.
func (c *Cluster) URL(database string) string { return c.server.URL(pgserver.Superuser, database) }

// Socket returns the same URL by way of the server's Unix socket.
func (c *Cluster) Socket(database string) string {
	c.t.Helper()
	u, err := url.Parse(c.URL(database))
	if err != nil {
		c.t.Fatal(err)
	}
	query := u.Query()
	query.Set("host", filepath.Join(c.config.Dir, "data"))
	query.Set("port", u.Port())
	u.Host, u.RawQuery = "", query.Encode()
	return u.String()
}

// Orders makes the database orders with its schema and seed, and returns its URL.
func (c *Cluster) Orders() string { return c.migrated(sql.Orders) }

// ReadModel makes the database readmodel with its schema, and returns its URL.
func (c *Cluster) ReadModel() string { return c.migrated(sql.ReadModel) }

func (c *Cluster) migrated(s sql.Schema) string {
	c.t.Helper()
	if err := execute(c.t.Context(), c.URL("postgres"), "CREATE DATABASE "+s.Name); err != nil {
		c.t.Fatal(err)
	}
	if err := migrate.Up(c.t.Context(), c.URL(s.Name), s); err != nil {
		c.t.Fatal(err)
	}
	return c.URL(s.Name)
}
