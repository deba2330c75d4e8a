package kafkaserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/adamkwhite/kafkafoodpipeline/internal/fetched"
)

// Version of Apache Kafka, as pom.xml has it.
const Version = "4.3.1"

const jars = "kafka-" + Version

//go:embed pom.xml
var pom []byte

// ErrNoJars is returned by Jars when Fetch has not run yet.
var ErrNoJars = errors.New("the jars of Apache Kafka " + Version + " are not there: run make kafka (it takes Maven and some 60 MB)")

// Jars returns the directory of the jars that Fetch has brought.
func Jars() (string, error) {
	dir, err := fetched.Dir(jars)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoJars
	}
	return dir, err
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
	return fetched.Once(jars, func(into, scratch string) error {
		file := filepath.Join(scratch, "pom.xml")
		if err := os.WriteFile(file, pom, 0o600); err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, "mvn", "--quiet", "--batch-mode", "--file", file, "dependency:copy-dependencies",
			"-DincludeScope=runtime", "-DoutputDirectory="+into).CombinedOutput()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return fmt.Errorf("fetch Kafka: %w: install Maven (apt-get install maven)", err)
		case err != nil:
			return fmt.Errorf("fetch Kafka: mvn: %w\n%s", err, out)
		}
		return nil
	})
}
