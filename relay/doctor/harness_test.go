package doctor

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// patient is a database and a topic that a relay could run on, and who may mend them.
type patient struct {
	*testing.T

	config  Config
	super   string // a superuser's URL of the database
	role    string // the relay's
	client  *kgo.Client
	cluster *testenv.Cluster // nil where the server is shared
}

// setup makes what is healthy, but for the settings of a server whose tests need no disk.
func setup(t *testing.T) *patient {
	t.Helper()
	return setupOn(t, testenv.Orders(t), testenv.Broker(t))
}

func setupOn(t *testing.T, super, brokers string) *patient {
	t.Helper()
	p := &patient{T: t, super: super, role: testenv.Name(t)}
	p.config = Config{
		Brokers: strings.Split(brokers, ","), Slot: testenv.Name(t), MaxRetainedWAL: 1 << 30, Log: slog.New(slog.DiscardHandler),
		Layout: layout.Own(),
	}
	p.use(testenv.Topic(t, brokers, topic.Partitions))
	p.sql("CREATE ROLE " + p.role + " LOGIN REPLICATION PASSWORD 'secret' IN ROLE orders_relay")
	t.Cleanup(func() { p.sql("DROP ROLE " + p.role) })
	p.config.DatabaseURL = p.as(p.role, "secret")
	client, err := kgo.NewClient(kgo.SeedBrokers(p.config.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p.client = client
	p.alter(p.topic(), "retention.ms", "-1")
	return p
}

// use has it publish to a topic.
func (p *patient) use(topic string) { p.config.Topics, p.config.Name = []string{topic}, topic }

func (p *patient) topic() string { return p.config.Topics[0] }

// as is the database's URL for another login.
func (p *patient) as(role, password string) string {
	p.Helper()
	u, err := url.Parse(p.super)
	if err != nil {
		p.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

// sql runs statements as the superuser, over a connection of their own.
func (p *patient) sql(statements ...string) {
	p.Helper()
	ctx := context.WithoutCancel(p.Context())
	conn, err := pgx.Connect(ctx, p.super)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			p.Fatalf("%s: %v", s, err)
		}
	}
}

// scalar is the answer to a question of one value.
func scalar[V any](p *patient, question string) (answer V) {
	p.Helper()
	conn, err := pgx.Connect(p.Context(), p.super)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = conn.Close(p.Context()) }()
	if err := conn.QueryRow(p.Context(), question).Scan(&answer); err != nil {
		p.Fatalf("%s: %v", question, err)
	}
	return answer
}

// reload makes changed settings known, and waits until new sessions have them.
func (p *patient) reload() {
	p.Helper()
	before := scalar[time.Time](p, "SELECT pg_conf_load_time()")
	p.sql("SELECT pg_reload_conf()")
	p.until("the settings to be loaded", func() bool {
		return scalar[time.Time](p,
			"SELECT pg_conf_load_time()").After(before)
	})
}

func (p *patient) restart() {
	p.Helper()
	p.cluster.Stop(pgserver.Fast)
	p.cluster.Start()
}

// until polls: when another system has done what it was asked to, it tells nobody.
func (p *patient) until(what string, is func() bool) {
	p.Helper()
	ctx, cancel := context.WithTimeoutCause(p.Context(), 30*time.Second, errors.New("timed out"))
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			p.Fatalf("waiting for %s: %v", what, context.Cause(ctx))
		}
	}
}

// alter changes a topic's setting, and waits until it is known.
func (p *patient) alter(topic, key, value string) {
	p.Helper()
	admin := kadm.NewClient(p.client)
	changed, err := admin.AlterTopicConfigs(p.Context(), []kadm.AlterConfig{{Name: key, Value: &value}}, topic)
	if err == nil {
		err = changed[0].Err
	}
	if err != nil {
		p.Fatalf("%s=%s: %v", key, value, err)
	}
	p.until(key+" to be known", func() bool {
		configs, err := admin.DescribeTopicConfigs(p.Context(), topic)
		return err == nil && configs[0].Err == nil && valued(configs[0])[key] == value
	})
}

func (p *patient) create(name string, partitions int32, settings map[string]*string) {
	p.Helper()
	admin := kadm.NewClient(p.client)
	if _, err := admin.CreateTopic(p.Context(), partitions, 1, settings, name); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _, _ = admin.DeleteTopics(context.Background(), name) }) // the broker may be gone
	testenv.AwaitTopic(p, p.client, name)
}

// found is the answer of a check, asked alone.
func (p *patient) found(system, name string) Finding {
	p.Helper()
	var r, both Report
	if system == Postgres {
		examinePostgres(p.Context(), p.config, only(postgresChecks, name), &r)
	} else {
		bound := examinePostgres(p.Context(), p.config, nil, &both)
		examineKafka(p.Context(), p.config, bound, only(kafkaChecks, name), &r)
	}
	f, made := r.Find(system, name)
	if !made {
		p.Fatalf("%s: %s was not checked: %+v", system, name, r.Findings)
	}
	return f
}

func only[T any](checks []check[T], name string) (one []check[T]) {
	for _, c := range checks {
		if c.name == name {
			one = append(one, c)
		}
	}
	return one
}

// want is what a check must find: a verdict, a part of the words, and an exit code.
func (p *patient) want(f Finding, verdict Verdict, words string, code int) {
	p.Helper()
	p.Logf("%s: %s: %s: %q", f.Verdict, f.Check, f.Found, f.Remedy)
	if f.Verdict != verdict || !strings.Contains(f.Found, words) || f.ExitCode != code {
		p.Fatalf("%s: got %s, exit code %d: %s\nwant %s, exit code %d, with %q", f.Check, f.Verdict, f.ExitCode,
			f.Found, verdict, code, words)
	}
	if f.Verdict != OK && len(f.Remedy) == 0 {
		p.Errorf("%s: no remedy", f.Check)
	}
}
