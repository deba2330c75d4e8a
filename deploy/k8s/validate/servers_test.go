package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// What is read of the operators' resources.
type (
	postgresCluster struct {
		Spec struct {
			Bootstrap struct {
				Initdb struct {
					Database, Owner string
					Secret          struct{ Name string }
				}
			}
			Managed    struct{ Roles []role }
			Postgresql struct{ Parameters map[string]string }
		}
	}
	role struct {
		Name               string
		Login, Replication bool
		InRoles            []string              `yaml:"inRoles"`
		ConnectionLimit    int                   `yaml:"connectionLimit"`
		PasswordSecret     struct{ Name string } `yaml:"passwordSecret"`
	}
	postgresDatabase struct{ Spec struct{ Name, Owner string } }

	kafkaCluster struct {
		Spec struct {
			Kafka struct {
				Listeners []struct{ Port string }
				Config    map[string]string
			}
			EntityOperator struct {
				UserOperator struct {
					SecretPrefix string `yaml:"secretPrefix"`
				} `yaml:"userOperator"`
			} `yaml:"entityOperator"`
		}
	}
	kafkaTopic struct {
		Metadata meta
		Spec     struct {
			TopicName  string `yaml:"topicName"`
			Partitions int32
			Replicas   int16
			Config     map[string]string
		}
	}
	kafkaUser struct {
		Spec struct {
			Authorization struct {
				ACLs []rights `yaml:"acls"`
			}
		}
	}
	rights struct {
		Resource   struct{ Type, Name, PatternType string }
		Operations []string
	}
)

func (k kafkaTopic) name() string {
	if k.Spec.TopicName != "" {
		return k.Spec.TopicName
	}
	return k.Metadata.Name
}

// site is a Postgres and a Kafka with what the operators would make of the manifests: databases and roles, topics, logins and
// their rights, and the Secrets that hold the passwords.
type site struct {
	*testing.T

	all     []object
	secrets map[string]map[string]string // by name and key
	hosts   map[string]string            // address in the manifests to address here
	admin   *kadm.Client                 // may do everything
	orders  string                       // URL of the superuser
	users   map[string]kafkaUser
}

func newSite(t *testing.T, overlay string) *site {
	t.Helper()
	s := &site{T: t, all: objects(t, overlay), secrets: make(map[string]map[string]string), hosts: make(map[string]string)}
	s.makePostgres(testenv.NewCluster(t))
	s.makeKafka()
	return s
}

func part[V any](s *site, kind string) map[string]V {
	s.Helper()
	found, err := decode[V](s.all, kind)
	if err != nil {
		s.Fatal(err)
	}
	if len(found) == 0 {
		s.Fatalf("there is no %s", kind)
	}
	return found
}

// secret makes a password, once for each Secret.
func (s *site) secret(name string) string {
	if s.secrets[name] == nil {
		s.secrets[name] = map[string]string{"password": rand.Text()}
	}
	return s.secrets[name]["password"]
}

// makePostgres does what CloudNativePG does, in its order: the database that the server begins with, the roles, the others.
func (s *site) makePostgres(c *testenv.Cluster) {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), c.URL("postgres"))
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close(s.Context()) //nolint:errcheck // nothing is left to be lost
	exec := func(format string, args ...any) {
		s.Helper()
		if _, err := conn.Exec(s.Context(), fmt.Sprintf(format, args...)); err != nil {
			s.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
		}
	}
	for name, p := range part[postgresCluster](s, "Cluster") {
		initdb := p.Spec.Bootstrap.Initdb
		exec("CREATE ROLE %s LOGIN PASSWORD '%s'", initdb.Owner, s.secret(initdb.Secret.Name))
		exec("CREATE DATABASE %s OWNER %s", initdb.Database, initdb.Owner)
		s.orders = c.URL(initdb.Database)
		for _, r := range p.Spec.Managed.Roles {
			if r.Name != initdb.Owner {
				exec("CREATE ROLE %s", r.Name)
			}
			if r.Login {
				exec("ALTER ROLE %s LOGIN CONNECTION LIMIT %d PASSWORD '%s'", r.Name, r.ConnectionLimit, s.secret(r.PasswordSecret.Name))
			}
			if r.Replication {
				exec("ALTER ROLE %s REPLICATION", r.Name)
			}
			for _, group := range r.InRoles {
				exec("GRANT %s TO %s", group, r.Name)
			}
		}
		for key, value := range p.Spec.Postgresql.Parameters {
			exec("ALTER SYSTEM SET %s = '%s'", key, value) // refuses what it does not know
		}
		exec("ALTER SYSTEM RESET ALL")
		s.secrets[name+"-ca"] = map[string]string{"ca.crt": "not used here"}
		at, err := url.Parse(c.URL("postgres"))
		if err != nil {
			s.Fatal(err)
		}
		s.hosts[name+"-rw:5432"] = at.Host
	}
	for _, d := range part[postgresDatabase](s, "Database") {
		exec("CREATE DATABASE %s OWNER %s", d.Spec.Name, d.Spec.Owner)
	}
}

// makeKafka starts a broker with Kafka's own authorizer and a listener that wants a SCRAM login, as Strimzi would, but for
// TLS. A second listener, for this test, lets whoever comes do everything.
func (s *site) makeKafka() {
	s.Helper()
	if err := kafkaserver.Available(); err != nil {
		s.Skip(err)
	}
	open, login, controller := s.port(), s.port(), s.port()
	for name, k := range part[kafkaCluster](s, "Kafka") {
		properties := k.Spec.Kafka.Config
		for key, value := range map[string]string{
			"listeners":                                          fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,LOGIN://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", open, login, controller),
			"controller.quorum.voters":                           fmt.Sprintf("1@127.0.0.1:%d", controller),
			"listener.security.protocol.map":                     "PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
			"authorizer.class.name":                              "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users":                                        "User:ANONYMOUS",
			"listener.name.login.sasl.enabled.mechanisms":        "SCRAM-SHA-512",
			"listener.name.login.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
			"listener.name.login.connections.max.reauth.ms":      "0",
			"offsets.topic.num.partitions":                       "5",
			"transaction.state.log.num.partitions":               "5",
			"group.initial.rebalance.delay.ms":                   "0",
		} {
			properties[key] = value
		}
		server, err := kafkaserver.Start(s.Context(), kafkaserver.Config{Dir: s.TempDir(), Port: open, Properties: properties})
		if err != nil {
			s.Fatal(err)
		}
		s.Cleanup(func() { _ = server.Kill() })
		client, err := kgo.NewClient(kgo.SeedBrokers(server.Address()), kgo.MetadataMinAge(10*time.Millisecond))
		if err != nil {
			s.Fatal(err)
		}
		s.Cleanup(client.Close)
		s.admin = kadm.NewClient(client)
		s.secrets[name+"-cluster-ca-cert"] = map[string]string{"ca.crt": "not used here"}
		s.hosts[name+"-kafka-bootstrap:"+k.Spec.Kafka.Listeners[0].Port] = net.JoinHostPort("127.0.0.1", strconv.Itoa(login))
		s.settingsAreKnown(k)
		s.makeUsers(k.Spec.EntityOperator.UserOperator.SecretPrefix)
	}
	for _, k := range part[kafkaTopic](s, "KafkaTopic") {
		config := make(map[string]*string)
		for key, value := range k.Spec.Config {
			config[key] = &value
		}
		if _, err := s.admin.CreateTopic(s.Context(), k.Spec.Partitions, k.Spec.Replicas, config, k.name()); err != nil {
			s.Fatalf("%s: %v", k.name(), err)
		}
	}
}

// settingsAreKnown asks the broker for each setting: one that it does not know is ignored, with a warning that nobody reads.
func (s *site) settingsAreKnown(k kafkaCluster) {
	s.Helper()
	configs, err := s.admin.DescribeBrokerConfigs(s.Context(), 1)
	if err != nil {
		s.Fatal(err)
	}
	for key := range k.Spec.Kafka.Config {
		if strings.HasPrefix(key, "listener.name.") {
			continue
		}
		if !slices.ContainsFunc(configs[0].Configs, func(c kadm.Config) bool { return c.Key == key }) {
			s.Errorf("Kafka has no setting %s", key)
		}
	}
}

func (s *site) makeUsers(prefix string) {
	s.Helper()
	s.users = part[kafkaUser](s, "KafkaUser")
	for name, user := range s.users {
		s.secrets[prefix+name] = map[string]string{"password": rand.Text()}
		_, err := s.admin.AlterUserSCRAMs(s.Context(), nil, []kadm.UpsertSCRAM{{
			User: name, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: s.secrets[prefix+name]["password"],
		}})
		if err != nil {
			s.Fatal(err)
		}
		for _, r := range user.Spec.Authorization.ACLs {
			for _, operation := range r.Operations {
				s.grant(acl(name, r, operation))
			}
		}
	}
}

// acl is one operation of one rule.
func acl(user string, r rights, operation string) *kadm.ACLBuilder {
	b := kadm.NewACLs().Allow("User:" + user).AllowHosts().ResourcePatternType(kadm.ACLPatternLiteral)
	op := map[string]kadm.ACLOperation{
		"Read": kadm.OpRead, "Write": kadm.OpWrite, "Create": kadm.OpCreate, "Describe": kadm.OpDescribe,
		"DescribeConfigs": kadm.OpDescribeConfigs,
	}[operation]
	b = b.Operations(op)
	switch r.Resource.Type {
	case "topic":
		return b.Topics(r.Resource.Name)
	case "group":
		return b.Groups(r.Resource.Name)
	case "transactionalId":
		return b.TransactionalIDs(r.Resource.Name)
	}
	panic("no rule here is about a " + r.Resource.Type)
}

func (s *site) grant(b *kadm.ACLBuilder) {
	s.Helper()
	results, err := s.admin.CreateACLs(s.Context(), b)
	for _, r := range results {
		if err == nil {
			err = r.Err
		}
	}
	if err != nil {
		s.Fatal(err)
	}
	s.until("the broker knows the right", func() bool { return s.granted(b) == 1 })
}

func (s *site) revoke(b *kadm.ACLBuilder) {
	s.Helper()
	if _, err := s.admin.DeleteACLs(s.Context(), b); err != nil {
		s.Fatal(err)
	}
	s.until("the broker has forgotten the right", func() bool { return s.granted(b) == 0 })
}

func (s *site) granted(b *kadm.ACLBuilder) (n int) {
	s.Helper()
	results, err := s.admin.DescribeACLs(s.Context(), b)
	if err != nil {
		s.Fatal(err)
	}
	for _, r := range results {
		n += len(r.Described)
	}
	return n
}

func (s *site) port() int {
	s.Helper()
	port, err := ports.Free()
	if err != nil {
		s.Fatal(err)
	}
	return port
}

// until waits for what must come.
func (s *site) until(what string, is func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Fatalf("not within 90 s: %s", what)
		}
	}
}
