package prometheus_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dashboard is what these tests read of a dashboard's JSON.
type dashboard struct {
	UID         string  `json:"uid"`
	Title       string  `json:"title"`
	Panels      []panel `json:"panels"`
	Annotations struct {
		List []struct {
			Name       string `json:"name"`
			Expr       string `json:"expr"`
			Datasource source `json:"datasource"`
		} `json:"list"`
	} `json:"annotations"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Grid        struct {
		X int `json:"x"`
		Y int `json:"y"`
		W int `json:"w"`
		H int `json:"h"`
	} `json:"gridPos"`
	Datasource source `json:"datasource"`
	Targets    []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// dashboards are those in deploy/grafana/dashboards, by path.
func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "deploy/grafana/dashboards/*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	all := make(map[string]dashboard)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[filepath.Base(path)] = d
	}
	return all
}

// panelQueries are the queries of the dashboards, by where they stand.
func panelQueries(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for i, target := range p.Targets {
				all[fmt.Sprintf("panel %q of %s, query %c", p.Title, d.Title, 'A'+i)] = target.Expr
			}
		}
		for _, a := range d.Annotations.List {
			all[fmt.Sprintf("annotation %q of %s", a.Name, d.Title)] = a.Expr
		}
	}
	return all
}

func TestDashboardsAreWellFormed(t *testing.T) {
	t.Parallel()
	provisioned := provisionedSource(t)
	for path, d := range dashboards(t) {
		if d.UID+".json" != path {
			t.Errorf("%s has the uid %s", path, d.UID)
		}
		var ids []int
		taken := make(map[[2]int]string)
		for _, p := range d.Panels {
			if slices.Contains(ids, p.ID) {
				t.Errorf("%s: panel %q has the id of another", path, p.Title)
			}
			ids = append(ids, p.ID)
			if p.Title == "" || p.Description == "" {
				t.Errorf("%s: panel %d: want a title and a description", path, p.ID)
			}
			if p.Type != "alertlist" && (len(p.Targets) == 0 || p.Datasource != provisioned) {
				t.Errorf("%s: panel %q: %d queries of %v, want some of %v", path, p.Title, len(p.Targets), p.Datasource, provisioned)
			}
			if p.Grid.X+p.Grid.W > 24 {
				t.Errorf("%s: panel %q is beyond the right edge", path, p.Title)
			}
			for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
				for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" && other != p.Title {
						t.Fatalf("%s: panels %q and %q overlap", path, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
		for _, a := range d.Annotations.List {
			if a.Datasource != provisioned {
				t.Errorf("%s: annotation %q is of %v", path, a.Name, a.Datasource)
			}
		}
	}
}

// provisionedSource is the data source that Grafana is given.
func provisionedSource(t *testing.T) source {
	t.Helper()
	var file struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Type string `yaml:"type"`
			UID  string `yaml:"uid"`
			URL  string `yaml:"url"`
		} `yaml:"datasources"`
	}
	parse(t, "deploy/grafana/provisioning/datasources/prometheus.yml", &file)
	if file.APIVersion != 1 || len(file.Datasources) != 1 || file.Datasources[0].URL != "http://prometheus:7491" {
		t.Fatalf("provisioned: %+v", file)
	}
	return source{file.Datasources[0].Type, file.Datasources[0].UID}
}

// service is what these tests read of a compose service.
type service struct {
	Image       string            `yaml:"image"`
	User        string            `yaml:"user"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Memory      string            `yaml:"mem_limit"`
	Environment map[string]string `yaml:"environment"`
	Command     []string          `yaml:"command"`
	Logging     struct {
		Options map[string]string `yaml:"options"`
	} `yaml:"logging"`
	Health struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
}

func overlay(t *testing.T) map[string]service {
	t.Helper()
	var file struct {
		Services map[string]service `yaml:"services"`
	}
	parse(t, "deploy/compose/observability.yml", &file)
	return file.Services
}

func TestOverlayConfinesItsContainers(t *testing.T) {
	t.Parallel()
	services := overlay(t)
	if len(services) != 2 {
		t.Fatalf("%d services, want prometheus and grafana", len(services))
	}
	for name, s := range services {
		_, version, _ := strings.Cut(s.Image, ":")
		switch {
		case strings.Count(version, ".") != 2:
			t.Errorf("%s: image %s is not pinned", name, s.Image)
		case s.User == "" || strings.HasPrefix(s.User, "0") || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}):
			t.Errorf("%s: want a user that is not root, a read-only file system, no capabilities", name)
		case s.Memory == "" || s.Logging.Options["max-size"] == "" || len(s.Health.Test) == 0:
			t.Errorf("%s: want a limit of memory, one of its log, and a health check", name)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is published beyond the loopback", name, port)
			}
		}
	}
}

// TestOverlayMountsWhatItNames: paths inside of a container that no mount provides are found out only by starting it.
func TestOverlayMountsWhatItNames(t *testing.T) {
	t.Parallel()
	services := overlay(t)
	var files struct {
		Providers []struct {
			Options struct {
				Path string `yaml:"path"`
			} `yaml:"options"`
		} `yaml:"providers"`
	}
	parse(t, "deploy/grafana/provisioning/dashboards/files.yml", &files)
	config := slices.IndexFunc(services["prometheus"].Command, func(arg string) bool { return strings.HasPrefix(arg, "--config.file=") })
	for path, s := range map[string]service{
		strings.TrimPrefix(services["prometheus"].Command[config], "--config.file="): services["prometheus"],
		"/etc/prometheus/alerts.yml": services["prometheus"],
		services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]: services["grafana"],
		filepath.Join(files.Providers[0].Options.Path, "pipeline.json"):              services["grafana"],
		"/etc/grafana/provisioning/datasources/prometheus.yml":                       services["grafana"],
		"/etc/grafana/provisioning/dashboards/files.yml":                             services["grafana"],
	} {
		found := false
		for _, volume := range s.Volumes {
			from, rest, _ := strings.Cut(volume, ":")
			to, _, _ := strings.Cut(rest, ":")
			if inside, under := strings.CutPrefix(path, to+"/"); under && strings.HasPrefix(from, ".") {
				_, err := os.Stat(filepath.Join(root, from, inside))
				found = found || err == nil
			}
		}
		if !found {
			t.Errorf("%s: no file of this repository is mounted at %s", s.Image, path)
		}
	}
}
