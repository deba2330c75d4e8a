package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

const denied = "AUTHORIZATION_FAILED" // in each of Kafka's errors that say so

// TestEachRightInKafkaIsEnoughAndNeeded runs the programs with their logins on a broker that allows nothing else: with all
// rights they work, without any one of them the program whose it is fails, and says why.
func TestEachRightInKafkaIsEnoughAndNeeded(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.traffic(20)
	// The relay makes the checkpoint topic at its first start.
	g.without("relay", access.Right{Resource: access.Topic, Name: g.topic + ".checkpoint." + g.slot, Operation: kadm.OpCreate})

	relay, projector := g.login("relay").start(), g.login("projector").start()
	g.flowing(100)
	if out, err := g.verifyAs(time.Minute); err != nil {
		t.Fatalf("with all rights: %v: %s", err, out)
	}
	// So that there is a former read model, which has a group of its own.
	if out, err := g.as("projector", "projector", "rebuild"); err != nil {
		t.Fatalf("rebuild: %v: %s", err, out)
	}
	g.until("the former read model goes on", func() bool {
		return g.number(g.readModel, `SELECT sum(applied_events)::bigint FROM former.projection_offsets`) >= g.applied()
	})
	relay.stop()
	projector.stop()
	for _, l := range g.logins {
		for _, r := range l.Rights {
			if r.Operation != kadm.OpCreate {
				g.without(l.Name, r)
			}
		}
	}
	g.password("projector", "another")
	g.login("relay").start() // on other ports: those of the first may have been taken meanwhile
	g.login("projector").start()
	g.flowing(100)
}

// guarded is a pipeline on a broker with logins. The pipeline's own address is where nobody is asked who he is.
type guarded struct {
	*pipeline

	address string // where a login is asked for
	secrets string
	admin   *kadm.Client
	logins  []access.KafkaLogin
	ensure  func()
}

func guard(t *testing.T) *guarded {
	t.Helper()
	if err := kafkaserver.Available(); err != nil {
		t.Skipf("run `make kafka` once: %v", err)
	}
	var port [3]int
	for i := range port {
		var err error
		if port[i], err = ports.Free(); err != nil {
			t.Fatal(err)
		}
	}
	local := func(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port[i])) }
	server, err := kafkaserver.Start(t.Context(), kafkaserver.Config{Dir: t.TempDir(), Port: port[0], Properties: map[string]string{
		"listeners":                                          fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://%s,LOGIN://%s", local(0), local(1), local(2)),
		"controller.quorum.voters":                           "1@" + local(1),
		"listener.security.protocol.map":                     "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
		"sasl.enabled.mechanisms":                            "SCRAM-SHA-512",
		"authorizer.class.name":                              "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                                        "User:ANONYMOUS",
		"allow.everyone.if.no.acl.found":                     "false",
		"listener.name.login.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() }) // its data are thrown away
	g := &guarded{pipeline: setup(t, server.Address()), address: local(2), secrets: t.TempDir()}
	client, err := broker.Connect(t.Context(), g.brokers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	g.admin, g.logins = kadm.NewClient(client), access.Kafka(access.Names{Topic: g.topic, Slot: g.slot, Group: g.group})
	for _, l := range g.logins {
		g.write(l.Name, "secret of "+l.Name)
	}
	g.ensure = func() {
		t.Helper()
		made, err := access.EnsureKafkaFrom(t.Context(), client, g.logins, g.secrets)
		if err != nil || len(made) != len(g.logins) {
			t.Fatalf("logins %v, %v", made, err)
		}
	}
	g.ensure()
	return g
}

func (g *guarded) secret(login string) string { return filepath.Join(g.secrets, "kafka_"+login) }

func (g *guarded) write(login, password string) {
	g.Helper()
	if err := os.WriteFile(g.secret(login), []byte(password+"\n"), 0o600); err != nil {
		g.Fatal(err)
	}
}

// password gives the login a new one.
func (g *guarded) password(login, password string) {
	g.Helper()
	g.write(login, password)
	g.ensure()
}

func (g *guarded) loginEnv(name string) []string {
	return []string{"KAFKA_BROKERS=" + g.address, "KAFKA_USER=" + name, "KAFKA_PASSWORD_FILE=" + g.secret(name)}
}

// login is the program of a login, not started.
func (g *guarded) login(name string) *program {
	g.Helper()
	return g.program(name, name, strings.ToUpper(name)+"_LISTEN", []string{"run"}, g.loginEnv(name)...)
}

// verifyAs runs foodctl verify as the auditor.
func (g *guarded) verifyAs(timeout time.Duration) (string, error) {
	g.Helper()
	return g.as("auditor", "foodctl", "verify", "--timeout="+timeout.String())
}

// as runs a command with a login.
func (g *guarded) as(login, program string, args ...string) (string, error) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Build(g, program), args...)
	cmd.Env = append(append(os.Environ(), g.env()...), g.loginEnv(login)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// without takes a right, sees the program fail for want of it, and gives it back.
func (g *guarded) without(login string, r access.Right) {
	g.Helper()
	if _, err := g.admin.DeleteACLs(g.Context(), r.ACL(login).AllowHosts()); err != nil {
		g.Fatal(err)
	}
	g.until("the right is gone", func() bool {
		left, err := g.admin.DescribeACLs(g.Context(), r.ACL(login).AllowHosts())
		return err == nil && len(left) == 1 && len(left[0].Described) == 0
	})
	what := fmt.Sprintf("%s without %s of %s %s", login, r.Operation, r.Resource, r.Name)
	if login == "auditor" {
		if out, err := g.verifyAs(2 * time.Second); err == nil || !strings.Contains(out, denied) {
			g.Errorf("%s: %v: %s", what, err, out)
		}
	} else {
		p := g.login(login).start()
		p.wanted = false // it may end
		g.until(what+" fails", func() bool { return len(p.lines(denied)) > 0 })
		if err := p.process.Kill(); err != nil {
			g.Fatal(err)
		}
	}
	g.Logf("%s: it failed", what)
	g.ensure()
}
