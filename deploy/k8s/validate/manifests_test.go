package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is read of a pod.
type (
	podTemplate struct {
		Metadata meta
		Spec     struct {
			ServiceAccountName           string      `yaml:"serviceAccountName"`
			AutomountServiceAccountToken *bool       `yaml:"automountServiceAccountToken"`
			EnableServiceLinks           *bool       `yaml:"enableServiceLinks"`
			HostNetwork                  bool        `yaml:"hostNetwork"`
			HostPID                      bool        `yaml:"hostPID"`
			SecurityContext              security    `yaml:"securityContext"`
			InitContainers               []any       `yaml:"initContainers"`
			Containers                   []container `yaml:"containers"`
			Volumes                      []volume    `yaml:"volumes"`
		}
	}
	security struct {
		RunAsNonRoot             *bool                        `yaml:"runAsNonRoot"`
		RunAsUser                int                          `yaml:"runAsUser"`
		SeccompProfile           struct{ Type string }        `yaml:"seccompProfile"`
		AllowPrivilegeEscalation *bool                        `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   *bool                        `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Add, Drop []string } `yaml:"capabilities"`
	}
	container struct {
		Name, Image     string
		Command, Args   []string
		Env             []variable
		EnvFrom         []any `yaml:"envFrom"`
		Ports           []port
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext security `yaml:"securityContext"`
		StartupProbe    probe    `yaml:"startupProbe"`
		LivenessProbe   probe    `yaml:"livenessProbe"`
		ReadinessProbe  probe    `yaml:"readinessProbe"`
		VolumeMounts    []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	variable struct {
		Name, Value string
		ValueFrom   struct {
			SecretKeyRef     any                       `yaml:"secretKeyRef"`
			ResourceFieldRef struct{ Resource string } `yaml:"resourceFieldRef"`
		} `yaml:"valueFrom"`
	}
	port struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	probe struct {
		HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
	}
	volume struct {
		Name      string
		Projected struct {
			DefaultMode int `yaml:"defaultMode"`
			Sources     []struct {
				Secret struct {
					Name  string
					Items []struct{ Key, Path string }
				}
			}
		}
	}
)

// workload is what makes pods.
type workload struct {
	kind, name string
	pod        podTemplate
}

func (w workload) serves() bool   { return w.kind == "Deployment" || w.kind == "StatefulSet" }
func (w workload) String() string { return w.kind + " " + w.name }

func workloads(all []object) (found []workload, err error) {
	for _, o := range all {
		var direct struct {
			Spec struct{ Template podTemplate }
		}
		var nested struct {
			Spec struct {
				JobTemplate struct {
					Spec struct{ Template podTemplate }
				} `yaml:"jobTemplate"`
			}
		}
		switch o.Kind {
		case "Deployment", "StatefulSet", "Job":
			err = o.node.Decode(&direct)
			found = append(found, workload{o.Kind, o.Metadata.Name, direct.Spec.Template})
		case "CronJob":
			err = o.node.Decode(&nested)
			found = append(found, workload{o.Kind, o.Metadata.Name, nested.Spec.JobTemplate.Spec.Template})
		}
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", o.Kind, o.Metadata.Name, err)
		}
	}
	return found, nil
}

// listens are the ports of the programs, as everywhere else.
var listens = map[string]int{"orderservice": 7481, "relay": 7482, "projector": 7484, "query": 7488}

// findings are what is wrong with the manifests, beyond their form.
func findings(all []object) (wrong []string, err error) {
	ws, err := workloads(all)
	if err != nil {
		return nil, err
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	images := make(map[string]bool)
	for _, w := range ws {
		w.restricted(say)
		w.bounded(say)
		w.secrets(say)
		w.known(say)
		if w.serves() {
			w.probed(say)
		}
		for _, c := range w.pod.Spec.Containers {
			images[c.Image] = true
		}
	}
	if len(images) != 1 {
		say("the image has %d names, want one", len(images))
	}
	for image := range images {
		if !strings.Contains(image, "foodpipeline:") || strings.HasSuffix(image, ":latest") {
			say("image %s: want foodpipeline with a tag that stays", image)
		}
	}
	for _, o := range all {
		if o.Kind == "Secret" {
			say("Secret %s is in the manifests", o.Metadata.Name)
		}
		if o.Kind != "Namespace" && o.Metadata.Namespace != "foodpipeline" {
			say("%s %s is in namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
		}
	}
	err = selected(all, ws, say)
	return wrong, err
}

// restricted is Kubernetes' pod security standard of that name, and a root file system that cannot be written.
func (w workload) restricted(say func(string, ...any)) {
	s := w.pod.Spec
	if !is(s.SecurityContext.RunAsNonRoot, true) || s.SecurityContext.RunAsUser != 65532 || s.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
		say("%s: the pod does not run as 65532 with the runtime's seccomp profile", w)
	}
	if s.HostNetwork || s.HostPID {
		say("%s: has the host's network or processes", w)
	}
	if s.ServiceAccountName != w.name || !is(s.AutomountServiceAccountToken, false) {
		say("%s: wants an account of its own and no token of it", w)
	}
	if !is(s.EnableServiceLinks, false) {
		say("%s: Services would become variables", w)
	}
	if len(s.Containers) != 1 || len(s.InitContainers) != 0 {
		say("%s: has more containers than are looked at here", w)
	}
	for _, c := range s.Containers {
		sc := c.SecurityContext
		if !is(sc.AllowPrivilegeEscalation, false) || !is(sc.ReadOnlyRootFilesystem, true) || !slices.Equal(sc.Capabilities.Drop, []string{"ALL"}) || len(sc.Capabilities.Add) > 0 {
			say("%s: container %s is not restricted", w, c.Name)
		}
	}
}

// bounded wants limits, and Go to keep below that of the memory.
func (w workload) bounded(say func(string, ...any)) {
	for _, c := range w.pod.Spec.Containers {
		for _, r := range []string{"cpu", "memory"} {
			if c.Resources.Requests[r] == "" || c.Resources.Limits[r] == "" {
				say("%s: container %s has no request or limit of %s", w, c.Name, r)
			}
		}
		var asks, may int
		fmt.Sscanf(c.Resources.Requests["memory"], "%dMi", &asks) //nolint:errcheck // 0 is found below
		fmt.Sscanf(c.Resources.Limits["memory"], "%dMi", &may)    //nolint:errcheck // 0 is found below
		if asks < 32 || may*3 < asks*4 {
			say("%s: container %s may use %d MiB and asks for %d: want a third more", w, c.Name, may, asks)
		}
		i := slices.IndexFunc(c.Env, func(v variable) bool { return v.Name == "GOMEMLIMIT" })
		if i < 0 || c.Env[i].ValueFrom.ResourceFieldRef.Resource != "requests.memory" {
			say("%s: container %s does not tell Go its memory", w, c.Name)
		}
	}
}

var password = regexp.MustCompile(`://[^/@]*:[^/@]*@|(?i)password=`)

// secrets wants them in files, each program its own and no more of it than it uses.
func (w workload) secrets(say func(string, ...any)) {
	for _, c := range w.pod.Spec.Containers {
		for _, v := range c.Env {
			if password.MatchString(v.Value) || v.ValueFrom.SecretKeyRef != nil {
				say("%s: %s has a secret in it", w, v.Name)
			}
		}
		for _, text := range slices.Concat(c.Command, c.Args) {
			if password.MatchString(text) {
				say("%s: the command has a secret in it", w)
			}
		}
		for _, m := range c.VolumeMounts {
			if !m.ReadOnly {
				say("%s: volume %s can be written", w, m.Name)
			}
		}
	}
	for _, v := range w.pod.Spec.Volumes {
		if v.Projected.DefaultMode != 0o440 || len(v.Projected.Sources) == 0 {
			say("%s: volume %s has mode %o, want 440", w, v.Name, v.Projected.DefaultMode)
		}
		for _, source := range v.Projected.Sources {
			if len(source.Secret.Items) != 1 {
				say("%s: volume %s mounts the whole Secret %s", w, v.Name, source.Secret.Name)
			}
			for _, item := range source.Secret.Items {
				if item.Key != "password" && item.Key != "ca.crt" {
					say("%s: volume %s mounts %s of %s", w, v.Name, item.Key, source.Secret.Name)
				}
			}
		}
	}
}

// probed wants the probes at the port that the program listens on, and liveness to ask for nothing but an answer.
func (w workload) probed(say func(string, ...any)) {
	for _, c := range w.pod.Spec.Containers {
		for _, p := range []struct {
			name, path string
			probe      probe
		}{
			{"startup", "/livez", c.StartupProbe},
			{"liveness", "/livez", c.LivenessProbe},
			{"readiness", "/readyz", c.ReadinessProbe},
		} {
			if p.probe.HTTPGet.Path != p.path || p.probe.HTTPGet.Port != "http" {
				say("%s: the %s probe asks %s at %s, want %s at http", w, p.name, p.probe.HTTPGet.Path, p.probe.HTTPGet.Port, p.path)
			}
		}
		want := []port{{"http", listens[w.name]}}
		if !slices.Equal(c.Ports, want) {
			say("%s: ports are %v, want %v", w, c.Ports, want)
		}
		i := slices.IndexFunc(c.Env, func(v variable) bool { return strings.HasSuffix(v.Name, "_LISTEN") })
		if i < 0 || c.Env[i].Value != fmt.Sprintf(":%d", listens[w.name]) {
			say("%s: does not listen where it is asked", w)
		}
	}
}

// known wants no variable twice: the last one would win, silently.
func (w workload) known(say func(string, ...any)) {
	for _, c := range w.pod.Spec.Containers {
		seen := make(map[string]bool)
		for _, v := range c.Env {
			if seen[v.Name] {
				say("%s: %s is given twice", w, v.Name)
			}
			seen[v.Name] = true
		}
		if len(c.EnvFrom) > 0 {
			say("%s: takes variables that nobody has named", w)
		}
	}
}

func is(b *bool, want bool) bool { return b != nil && *b == want }

func TestManifestsAreSound(t *testing.T) {
	t.Parallel()
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			t.Parallel()
			wrong, err := findings(objects(t, overlay))
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range wrong {
				t.Error(w)
			}
		})
	}
}

// TestFindingsAreFound breaks the manifests in each way that is looked for.
func TestFindingsAreFound(t *testing.T) {
	t.Parallel()
	good := string(render(t, "production"))
	for _, c := range []struct{ was, is, want string }{
		{"runAsUser: 65532", "runAsUser: 0", "does not run as 65532"},
		{"type: RuntimeDefault", "type: Unconfined", "seccomp"},
		{"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "not restricted"},
		{"            drop:\n            - ALL", "            drop:\n            - CHOWN", "not restricted"},
		{"automountServiceAccountToken: false\n      containers", "automountServiceAccountToken: true\n      containers", "no token"},
		{"enableServiceLinks: false", "enableServiceLinks: true", "become variables"},
		{"            memory: 256Mi", "            memory: 128Mi", "want a third more"},
		{"            cpu: \"2\"\n", "", "no request or limit of cpu"},
		{"resource: requests.memory", "resource: limits.memory", "does not tell Go"},
		{"postgres://relay@", "postgres://relay:secret@", "has a secret in it"},
		{"- key: password\n", "- key: sasl.jaas.config\n", "sasl.jaas.config"},
		{"key: ca.crt\n", "key: ca.key\n", "ca.key"},
		{"path: /readyz", "path: /livez", "readiness probe"},
		{"containerPort: 7482", "containerPort: 7483", "ports are"},
		{"value: :7484", "value: :7494", "does not listen"},
		{"name: LOG_FORMAT", "name: GOMEMLIMIT", "twice"},
		{"registry.example.com/foodpipeline:0.1.0\n        livenessProbe", "registry.example.com/foodpipeline:latest\n        livenessProbe", "names"},
		{"namespace: foodpipeline", "namespace: default", "namespace"},
		{"  selector:\n    app.kubernetes.io/name: orderservice", "  selector:\n    app.kubernetes.io/name: orders", "Service orderservice selects nothing"},
		{"targetPort: http", "targetPort: web", "port web"},
		{"  selector:\n    matchLabels:\n      app.kubernetes.io/name: projector\n  unhealthy", "  selector:\n    matchLabels:\n      app.kubernetes.io/name: project\n  unhealthy", "PodDisruptionBudget"},
		{"  unhealthyPodEvictionPolicy", "  maxUnavailable: 1\n  unhealthyPodEvictionPolicy", "PodDisruptionBudget"},
		{"      - projector\n      - topics\n", "      - topics\n", "projector reaches"},
		{"      - query\n      - migrate\n", "      - query\n", "migrate reaches"},
		{"      - query\n      - migrate\n", "      - migrate\n", "query reaches"},
		{"        app.kubernetes.io/name: orderservice\n        app.kubernetes.io/part-of", "        app.kubernetes.io/name: relay\n        app.kubernetes.io/part-of", "orderservice reaches [postgres:5432 kafka:9093]"},
		{"k8s-app: kube-dns", "k8s-app: coredns", "cannot ask for names"},
	} {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			bad := strings.ReplaceAll(good, c.was, c.is)
			if bad == good {
				t.Fatalf("%q is not in the manifests", c.was)
			}
			all, err := parse([]byte(bad))
			var wrong []string
			if err == nil {
				wrong, err = findings(all)
			}
			if all := fmt.Sprint(wrong, err); !strings.Contains(all, c.want) {
				t.Errorf("%q instead of %q: found %v, want %q", c.is, c.was, all, c.want)
			}
		})
	}
}
