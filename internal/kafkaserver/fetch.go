package kafkaserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Version of Apache Kafka, as pom.xml has it.
const Version = "4.3.1"

//go:embed pom.xml
var pom []byte

// ErrNoJars is returned by Jars when Fetch has not run yet.
var ErrNoJars = errors.New("the jars of Apache Kafka " + Version + " are not there: run make kafka (it takes Maven and some 60 MB)")

// Jars returns the directory of the jars that Fetch has brought.
func Jars() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "kafkafoodpipeline", "kafka-"+Version)
	if _, err := os.Stat(dir); err != nil {
		return dir, ErrNoJars
	}
	return dir, nil
}

// Available returns nil if Start has all that it needs on this host, else what to do.
func Available() error {
	if _, err := exec.LookPath(javaProgram()); err != nil {
		return fmt.Errorf("no Java: %w: install version 17 or newer (apt-get install openjdk-17-jre-headless)", err)
	}
	_, err := Jars()
	return err
}

// Fetch downloads the jars with Maven into this user's cache, unless they are there, and returns their directory.
func Fetch(ctx context.Context) (string, error) {
	dir, err := Jars()
	if !errors.Is(err, ErrNoJars) {
		return dir, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // the next run makes its own
	file, jars := filepath.Join(scratch, "pom.xml"), filepath.Join(scratch, "jars")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return "", err
	}
	mvn := exec.CommandContext(ctx, "mvn", "--quiet", "--batch-mode", "--file", file, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+jars)
	if out, err := mvn.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("fetch Kafka: %w: install Maven (apt-get install maven)", err)
		}
		return "", fmt.Errorf("fetch Kafka: mvn: %w\n%s", err, out)
	}
	err = os.Rename(jars, dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, os.ErrExist) {
		err = nil // another process was faster
	}
	return dir, err
}
