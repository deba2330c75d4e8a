// Package apicurio runs a schema registry for tests: Apicurio, which speaks Confluent's protocol, from the archive that Fetch downloads with
// Maven, on the host's Java (17 or newer).
//
// It promises that the registry does not outlive this process. What it knows is in memory, and gone with it.
package apicurio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/fetched"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// Version of Apicurio. Later ones need a newer Java than Debian 12 has.
const Version = "3.0.9"

// ErrNotThere is returned where a registry cannot be started for want of its files or of Java.
var ErrNotThere = errors.New("there is no schema registry: run make registry (it takes Maven: apt-get install maven), and have Java 17 (openjdk-17-jre-headless)")

const name = "apicurio-" + Version

// Fetch downloads the archive into this user's cache, unless it is there, and returns the directory of its files.
func Fetch(ctx context.Context) (string, error) {
	return fetched.Once(name, func(into, scratch string) error {
		const artifact = "io.apicurio:apicurio-registry-app:" + Version + ":tar.gz:all"
		for _, command := range [][]string{
			{"mvn", "--quiet", "--batch-mode", "dependency:copy", "-Dartifact=" + artifact, "-DoutputDirectory=" + scratch},
			{"tar", "-xzf", filepath.Join(scratch, "apicurio-registry-app-"+Version+"-all.tar.gz"), "-C", into},
		} {
			cmd := exec.CommandContext(ctx, command[0], command[1:]...)
			cmd.Dir = scratch // no project's
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("fetch Apicurio %s (it takes Maven, apt-get install maven, and 110 MB): %s: %w\n%s", Version, command[0], err, out)
			}
		}
		return nil
	})
}

// Server is a running registry.
type Server struct {
	process *child.Process
	url     string
}

// startWithin is for a busy machine; on an idle one it takes some 10 s.
const startWithin = 3 * time.Minute

// Start starts a registry on a free port of this machine and waits until it answers, or returns ErrNotThere. It logs to the file. ctx
// bounds the start only.
func Start(ctx context.Context, log string) (*Server, error) {
	dir, err := fetched.Dir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotThere
	}
	if err != nil {
		return nil, err
	}
	port, err := ports.Free()
	if err != nil {
		return nil, err
	}
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	java := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	if _, err := exec.LookPath(java); err != nil {
		return nil, ErrNotThere
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), java, "-XX:TieredStopAtLevel=1", "-Xmx512m",
		"-jar", filepath.Join(dir, "apicurio-registry-app-"+Version+"-runner.jar"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(log), out, out
	cmd.Env = append(os.Environ(), "QUARKUS_HTTP_HOST=127.0.0.1", "QUARKUS_HTTP_PORT="+strconv.Itoa(port))
	s := &Server{url: "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "/apis/ccompat/v7"}
	if s.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, fmt.Errorf("start Apicurio: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		said, _ := os.ReadFile(log) // nothing more to say without it
		return nil, errors.Join(fmt.Errorf("start Apicurio: %w; %s:\n%s", err, log, said[max(0, len(said)-4000):]), s.process.Kill())
	}
	return s, nil
}

func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errors.New("no answer for too long"))
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: startWithin}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/subjects", nil)
		if err != nil {
			return err
		}
		if answer, err := client.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.process.Done():
			return errors.New("it has ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// URL is where it speaks Confluent's protocol.
func (s *Server) URL() string { return s.url }

// Kill ends it and waits until it is gone.
func (s *Server) Kill() error { return s.process.Kill() }
