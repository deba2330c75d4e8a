package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	embedded "github.com/fergusstrange/embedded-postgres"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// releases are the builds that can be downloaded, by major version.
var releases = map[string]embedded.PostgresVersion{
	"15": embedded.V15,
	"16": embedded.V16,
	"17": embedded.V17,
	"18": embedded.V18,
}

// binaries returns the directory of initdb and postgres: downloaded ones, else the host's of this version, else, if any
// version will do, the host's newest.
func binaries(ctx context.Context, version string, anyVersion bool, progress func(string)) (string, error) {
	release, known := releases[version]
	if !known {
		return "", fmt.Errorf("PostgreSQL %q: choose 15, 16, 17 or 18", version)
	}
	dir, err := download(ctx, release, progress)
	if err == nil {
		return dir, nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	hosts := hostBinaries(ctx)
	if dir, ok := hosts[version]; ok {
		return dir, nil
	}
	if anyVersion && len(hosts) > 0 {
		newest := slices.Max(slices.Collect(maps.Keys(hosts)))
		progress(fmt.Sprintf("PostgreSQL %s cannot be downloaded (%v); taking the host's %s", version, err, newest))
		return hosts[newest], nil
	}
	return "", fmt.Errorf("no PostgreSQL %s: the download says %w, and the host has none: "+
		"install it (apt-get install postgresql), or give the URL of a server that runs", version, err)
}

// download returns the directory of the release's programs, fetched once into the cache of this user.
func download(ctx context.Context, release embedded.PostgresVersion, progress func(string)) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache, "postgres-"+string(release))
	bin := filepath.Join(root, "bin")
	if exists(filepath.Join(bin, "postgres")) {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(root + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(filepath.Join(bin, "postgres")) {
		return bin, nil // another process fetched it while this one waited
	}
	progress(fmt.Sprintf("downloading PostgreSQL %s (some 15 MB, once) into %s", release, cache))
	fetched := make(chan error, 1)
	go func() { fetched <- fetch(cache, root, release) }()
	select {
	case err := <-fetched:
		return bin, err
	case <-ctx.Done(): // the library knows no context; what it leaves behind is not taken for a finished download
		return "", ctx.Err()
	}
}

// fetch lets embedded-postgres download, check and unpack. The library does so only on the way to starting a server, and
// not as root; so it is given a data directory that no server starts from, and the failure to start is what is expected.
func fetch(cache, root string, release embedded.PostgresVersion) error {
	scratch, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // the next run makes its own
	data := filepath.Join(scratch, "data")
	major, _, _ := strings.Cut(string(release), ".")
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(major), 0o600); err != nil {
		return err
	}
	port, err := ports.Free()
	if err != nil {
		return err
	}
	unpacked := filepath.Join(scratch, "unpacked")
	err = embedded.NewDatabase(embedded.DefaultConfig().Version(release).Port(uint32(port)).Logger(io.Discard).
		CachePath(scratch).RuntimePath(filepath.Join(scratch, "run")).BinariesPath(unpacked).DataPath(data)).Start()
	http.DefaultClient.CloseIdleConnections() // the library's; its goroutines would look like a leak to tests
	if !exists(filepath.Join(unpacked, "bin", "postgres")) {
		return fmt.Errorf("download PostgreSQL %s: %w", release, err)
	}
	return os.Rename(unpacked, root)
}

// cacheDir is where downloaded programs stay. Root's own cache would be out of reach for the user who runs the server.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/kafkafoodpipeline", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "kafkafoodpipeline"), err
}

// hostBinaries returns the directories of the host's installed servers, by major version.
func hostBinaries(ctx context.Context) map[string]string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well-formed
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	found := make(map[string]string)
	for _, dir := range dirs {
		out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
		if err != nil || !exists(filepath.Join(dir, "initdb")) {
			continue
		}
		fields := strings.Fields(string(out)) // postgres (PostgreSQL) 15.18 (Debian ...)
		if len(fields) < 3 {
			continue
		}
		major, _, _ := strings.Cut(fields[2], ".")
		if _, supported := releases[major]; supported {
			found[major] = dir
		}
	}
	return found
}

// lock takes a lock between processes, and returns what gives it back.
func lock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
