package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// TestProgramsWorkWithTheirRightsAndNoFewer runs the pods of the dev overlay as processes: their commands, their variables,
// their Secrets, on a Postgres and a Kafka with the roles and rights of the manifests. Then it takes each right on Kafka away
// and sees the program miss it: what a program does not miss, it must not have.
func TestProgramsWorkWithTheirRightsAndNoFewer(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dev")
	for range 2 { // a Job may run any number of times
		s.done("migrate")
		s.done("topics")
	}
	s.start("orderservice")
	active := s.start("relay")
	s.until("a relay publishes", func() bool { return active.is("active") })
	standby := s.start("relay")
	s.until("a standby is ready", func() bool { return standby.is("standby") && standby.ready() })
	projector := s.start("projector")
	s.until("events arrive", func() bool { return projector.ready() && projector.metric("projector_applied_events_total") > 50 })
	s.done("verify")
	// From here on there is a former read model, which has a group of its own.
	if p := s.launch("projector", []string{"rebuild"}); p.Wait() != nil {
		t.Fatalf("rebuild: %s", p.said())
	}

	missed := 0
	for _, u := range []struct {
		user, program string
		running       []*process // what of it must not be there when it is tried
	}{
		{user: "topics", program: "topics"},
		{user: "auditor", program: "verify"}, // while the pipeline runs: it waits for events that are under way
		{"relay", "relay", []*process{standby, active}},
		{"projector", "projector", []*process{projector}},
	} {
		for _, p := range u.running {
			p.end()
		}
		for _, r := range s.users[u.user].Spec.Authorization.ACLs {
			for _, operation := range r.Operations {
				s.misses(u.program, u.user, r, operation)
				missed++
			}
		}
		delete(s.users, u.user)
	}
	if missed < 10 || len(s.users) > 0 {
		t.Errorf("%d rights were taken away, none of %v", missed, slices.Collect(maps.Keys(s.users)))
	}

	s.done("recover", "RELAY_REASON=its relays were stopped over and over")
	last := []*process{s.start("relay"), s.start("projector")}
	s.until("all is well again", func() bool { return last[0].is("active") && last[1].ready() })
	s.done("verify")
}

// misses takes a right away, and wants the program to say so.
func (s *site) misses(program, user string, r rights, operation string) {
	s.Helper()
	right := fmt.Sprintf("%s may %s %s %s", user, operation, r.Resource.Type, r.Resource.Name)
	s.revoke(acl(user, r, operation))
	defer s.grant(acl(user, r, operation))
	before := s.written()
	s.until("there is something to publish", func() bool { return s.written() > before })
	p := s.start(program)
	defer p.end()
	s.until(program+" notices that no longer: "+right, func() bool { return strings.Contains(p.said(), "AUTHORIZATION_FAILED") })
}

// written is the number of events in the outbox.
func (s *site) written() (n int64) {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), s.orders)
	if err == nil {
		defer conn.Close(s.Context()) //nolint:errcheck // it has only read
		err = conn.QueryRow(s.Context(), "SELECT count(*) FROM outbox").Scan(&n)
	}
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// process is a pod's container.
type process struct {
	*child.Process

	site    *site
	name    string
	log     string // path
	address string
}

// start runs the container of a workload, with more variables.
func (s *site) start(name string, more ...string) *process {
	s.Helper()
	return s.launch(name, nil, more...)
}

// launch runs it with other arguments, if any.
func (s *site) launch(name string, args []string, more ...string) *process {
	s.Helper()
	ws, err := workloads(s.all)
	if err != nil {
		s.Fatal(err)
	}
	i := slices.IndexFunc(ws, func(w workload) bool { return w.name == name })
	if i < 0 {
		s.Fatalf("there is no workload %s", name)
	}
	c := ws[i].pod.Spec.Containers[0]
	if args == nil {
		args = slices.Concat(c.Command[1:], c.Args)
	}
	dir := s.TempDir()
	p := &process{site: s, name: name, log: filepath.Join(dir, "log"), address: fmt.Sprintf("127.0.0.1:%d", s.port())}
	log, err := os.Create(p.log)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(testenv.Build(s, c.Command[0]), args...)
	cmd.Env = append(s.environment(ws[i], p.address, dir), more...)
	cmd.Stdout, cmd.Stderr = log, log
	if p.Process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = p.Kill() // it may have ended
		if s.Failed() {
			said := p.said()
			s.Logf("%s:\n%s", name, said[max(0, len(said)-1500):])
		}
	})
	return p
}

// environment is the container's, with its Secrets as files below dir and the addresses that the servers have here.
func (s *site) environment(w workload, address, dir string) []string {
	s.Helper()
	c := w.pod.Spec.Containers[0]
	var swaps []string
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(w.pod.Spec.Volumes, func(v volume) bool { return v.Name == m.Name })
		for _, source := range w.pod.Spec.Volumes[i].Projected.Sources {
			for _, item := range source.Secret.Items {
				text, has := s.secrets[source.Secret.Name][item.Key]
				if !has {
					s.Fatalf("%s: there is no %s in a Secret %s", w, item.Key, source.Secret.Name)
				}
				path := filepath.Join(dir, m.Name, item.Path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					s.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					s.Fatal(err)
				}
			}
		}
		swaps = append(swaps, m.MountPath, filepath.Join(dir, m.Name))
	}
	for there, here := range s.hosts {
		swaps = append(swaps, there, here)
	}
	// TLS is the only thing that is not as in the cluster.
	swap := strings.NewReplacer(append(swaps, "sslmode=verify-full&sslrootcert=/run/secrets/postgres/ca.crt", "sslmode=disable")...)
	var env []string
	for _, v := range c.Env {
		switch {
		case v.Name == "GOMEMLIMIT" || v.Name == "KAFKA_CA_FILE":
		case strings.HasSuffix(v.Name, "_LISTEN"):
			env = append(env, v.Name+"="+address)
		default:
			env = append(env, v.Name+"="+swap.Replace(v.Value))
		}
	}
	return env
}

// done runs a Job's container, which must succeed.
func (s *site) done(name string, more ...string) {
	s.Helper()
	p := s.start(name, more...)
	if err := p.Wait(); err != nil {
		s.Fatalf("%s: %v\n%s", name, err, p.said())
	}
}

// end stops the process and waits for it.
func (p *process) end() {
	p.site.Helper()
	select {
	case <-p.Done():
		return
	default:
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		p.site.Fatal(err)
	}
	<-p.Done()
}

func (p *process) said() string {
	p.site.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.site.Fatal(err)
	}
	return string(text)
}

func (p *process) ready() bool { return status.Ready(p.site.Context(), "http://"+p.address) }

func (p *process) is(role string) bool {
	m, err := status.Scrape(p.site.Context(), "http://"+p.address)
	return err == nil && m.Is("relay_role", "role", role)
}

func (p *process) metric(name string) float64 {
	m, err := status.Scrape(p.site.Context(), "http://"+p.address)
	if err != nil {
		return 0
	}
	return m.Sum(name)
}
