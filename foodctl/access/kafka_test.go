package access_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
)

var logins = access.Kafka(access.Names{Topic: "orders", Slot: "slot", Group: "group"})

// cluster is one that asks for a login, to its administrator.
func cluster(t *testing.T) *kgo.Client {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("SCRAM-SHA-256", "admin", "secret"), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	admin, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.SASL(scram.Auth{User: "admin", Pass: "secret"}.AsSha256Mechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	return admin
}

func secret(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyLoginsWithAPasswordAreMadeHoweverOften(t *testing.T) {
	t.Parallel()
	client := cluster(t)
	admin := kadm.NewClient(client)
	dir := t.TempDir()
	secret(t, dir, "kafka_projector", "a password\n")
	secret(t, dir, "relay", "of the database")
	for range 2 {
		made, err := access.EnsureKafkaFrom(t.Context(), client, logins, dir)
		if err != nil || !slices.Equal(made, []string{"projector"}) {
			t.Fatalf("made %v, %v: want the projector, whose password alone is there", made, err)
		}
		users, err := admin.DescribeUserSCRAMs(t.Context(), "projector", "relay")
		if got := users["projector"].CredInfos; err != nil || len(got) != 1 || got[0].Mechanism != kadm.ScramSha512 || len(users["relay"].CredInfos) != 0 {
			t.Errorf("logins %+v, %v: want the projector's alone, by SCRAM-SHA-512", users, err)
		}
		acls, err := admin.DescribeACLs(t.Context(), kadm.NewACLs().AnyResource().Operations().
			ResourcePatternType(kadm.ACLPatternAny).Allow().AllowHosts())
		if err != nil || len(acls) != 1 || len(acls[0].Described) != 3 {
			t.Errorf("rights %+v, %v: want the projector's three", acls, err)
		}
	}
}

func TestNoOrEmptyPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	admin := cluster(t)
	dir := t.TempDir()
	if _, err := access.EnsureKafkaFrom(t.Context(), admin, logins, dir); err == nil || !strings.Contains(err.Error(), "kafka_NAME") {
		t.Errorf("none: %v", err)
	}
	secret(t, dir, "kafka_auditor", "\n")
	if _, err := access.EnsureKafkaFrom(t.Context(), admin, logins, dir); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty: %v", err)
	}
}
