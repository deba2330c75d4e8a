package e2e

import (
	"bytes"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/contract"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// TestASchemaRegistryIsSwitchedOnUnderTraffic_I4: a real registry is switched on while orders flow, and relays are killed before and after.
// Each event comes once, the topic has both forms, and everybody reads both: projectors, a rebuild, the audit.
func TestASchemaRegistryIsSwitchedOnUnderTraffic_I4(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.Broker(t))
	registry := p.registry()
	relay := p.relay("relay-plain")
	p.projector("projector-1", "PROJECTOR_INSTANCE=1")
	p.projector("projector-2", "PROJECTOR_INSTANCE=2")
	traffic := p.traffic(40)
	p.flowing(200)

	relay.kill()
	p.incompatible(registry)
	relay = p.relay("relay-registry", "RELAY_SCHEMA_REGISTRY="+registry.url)
	p.until("it publishes", func() bool { return relay.is("active") })
	for range 3 {
		p.flowing(100)
		relay.kill()
		relay.start()
	}
	p.flowing(200)
	if r := p.rebuilding(); r.Wait() != nil || !strings.Contains(r.out.String(), "they are equal") {
		t.Errorf("the rebuild said\n%s", r.out.String())
	}
	p.flowing(100)
	p.settle(traffic, 900)
	p.bothForms(registry)
	var order string
	if err := p.orders.QueryRow(t.Context(), "SELECT aggregateid::text FROM outbox ORDER BY seq DESC LIMIT 1").Scan(&order); err != nil {
		t.Fatal(err)
	}
	p.run(testenv.Build(t, "foodctl"), "order", order)
}

// registry is a client of the test's registry, which compares with all that it ever had.
type registryClient struct {
	*sr.Client

	url string
}

func (p *pipeline) registry() registryClient {
	p.Helper()
	url := testenv.SchemaRegistry(p)
	client, err := sr.NewClient(sr.URLs(url))
	if err != nil {
		p.Fatal(err)
	}
	if set := client.SetCompatibility(p.Context(), sr.SetCompatibility{Level: sr.CompatFullTransitive}); set[0].Err != nil {
		p.Fatal(set[0].Err)
	}
	return registryClient{client, url}
}

// incompatible has something else under the name of a type. A relay refuses to start, the doctor says why, and nothing is registered;
// when it is taken away, nothing is in the way.
func (p *pipeline) incompatible(registry registryClient) {
	p.Helper()
	const kind = string(event.TypeOrderRated)
	strange := sr.Schema{Type: sr.TypeJSON, Schema: `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object",` +
		`"properties":{"stars":{"type":"string"}},"required":["stars"]}`}
	if _, err := registry.RegisterSchema(p.Context(), kind, strange, -1, -1); err != nil {
		p.Fatal(err)
	}
	for _, command := range []string{"run", "doctor"} {
		cmd := exec.Command(testenv.Build(p, "relay"), command)
		cmd.Env = append(append(os.Environ(), p.env()...), "RELAY_SCHEMA_REGISTRY="+registry.url, "RELAY_LISTEN=127.0.0.1:0")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if code := exitCode(cmd.Run()); code != 4 || !strings.Contains(out.String(), "the schema of "+kind+" is not compatible with what it has") {
			p.Errorf("relay %s ended with %d and said\n%s", command, code, out.String())
		}
		p.Logf("relay %s:\n%s", command, out.String())
	}
	if subjects, err := registry.Subjects(p.Context()); err != nil || len(subjects) != 1 {
		p.Errorf("the registry has %v, %v", subjects, err)
	}
	for _, how := range []sr.DeleteHow{sr.SoftDelete, sr.HardDelete} {
		if _, err := registry.DeleteSubject(p.Context(), kind, how); err != nil && how == sr.SoftDelete {
			p.Fatal(err)
		}
	}
}

// bothForms reads the topic as somebody would who knows the registry and not this project.
func (p *pipeline) bothForms(registry registryClient) {
	p.Helper()
	schemas := contract.Schemas(p)
	titles := make(map[int]string)
	plain, registered := 0, 0
	p.committed(func(r *kgo.Record) {
		m, err := topic.Parse(r)
		if err != nil {
			p.Fatal(err)
		}
		if err := schemas.Written(m.Type, m.Payload); err != nil {
			p.Errorf("%s: %v", m.Type, err)
		}
		id, payload, err := new(sr.ConfluentHeader).DecodeID(r.Value)
		if err != nil {
			plain++
			return
		}
		registered++
		if titles[id] == "" {
			schema, err := registry.SchemaByID(p.Context(), id)
			if err != nil {
				p.Fatal(err)
			}
			_, rest, _ := strings.Cut(schema.Schema, `"title": "`)
			titles[id], _, _ = strings.Cut(rest, `"`)
		}
		if titles[id] != string(m.Type) || !bytes.Equal(payload, m.Payload) {
			p.Errorf("an event of type %s has the schema of %q", m.Type, titles[id])
		}
	})
	p.Logf("%d values are plain, %d behind one of %d schemas' ids", plain, registered, len(titles))
	if plain < 100 || registered < 500 || len(titles) < 10 {
		p.Errorf("%d plain, %d registered values of %d types: want more of each", plain, registered, len(titles))
	}
}

// committed calls do for each committed record of the topic.
func (p *pipeline) committed(do func(*kgo.Record)) {
	p.Helper()
	client := p.client(kgo.ConsumeTopics(p.topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for left := p.written(); left > 0; {
		fetches := client.PollFetches(p.Context())
		if err := fetches.Err(); err != nil {
			p.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { do(r); left-- })
	}
}

// TestARegistryIsReachedOverTLS: its certificate counts, and the variable that names an authority of one's own.
func TestARegistryIsReachedOverTLS(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.Broker(t))
	server := httptest.NewTLSServer(srfake.NewRegistry(srfake.WithGlobalCompat(sr.CompatFullTransitive)).Handler())
	t.Cleanup(server.Close)
	authority := filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		variable string
		want     string
	}{
		{"SSL_CERT_FILE=" + authority, "next start registers"},
		{"X=", "certificate signed by unknown authority"},
	} {
		cmd := exec.Command(testenv.Build(p, "relay"), "doctor")
		cmd.Env = append(append(os.Environ(), p.env()...), "RELAY_SCHEMA_REGISTRY="+server.URL, tt.variable)
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: want %q in\n%s", tt.variable, tt.want, out)
		}
	}
}
