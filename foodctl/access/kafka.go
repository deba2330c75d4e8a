package access

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// KafkaLogin is a program's way into the cluster, by SCRAM-SHA-512, and what it may do there. Read and Write bring the
// right to describe with them.
type KafkaLogin struct {
	Name   string
	Rights []Right
}

// Right is one thing that a login may do with a resource of that very name.
type Right struct {
	Resource  Resource
	Name      string
	Operation kadm.ACLOperation
}

// Resource is a kind of what Kafka gives rights to.
type Resource string

// The resources that the programs use.
const (
	Topic           Resource = "topic"
	Group           Resource = "group"
	TransactionalID Resource = "transactional id"
)

// Names are what the rights are to. The programs put the others together from them.
type Names struct {
	Topic string // the events'
	Slot  string // the relay's
	Group string // the projectors'
}

// Kafka is the logins of the programs, each with the least that it needs. The orderservice has none: it does not know Kafka.
func Kafka(n Names) []KafkaLogin {
	checkpoint := n.Topic + ".checkpoint." + n.Slot
	return []KafkaLogin{
		{"relay", []Right{
			{Topic, n.Topic, kadm.OpWrite},
			{Topic, n.Topic, kadm.OpRead},            // the last event of each partition, for the gates
			{Topic, n.Topic, kadm.OpDescribeConfigs}, // clean-up policy and largest record
			{Topic, checkpoint, kadm.OpCreate},
			{Topic, checkpoint, kadm.OpWrite},
			{Topic, checkpoint, kadm.OpRead},
			{Topic, checkpoint, kadm.OpDescribeConfigs},
			{TransactionalID, "relay." + n.Topic + "." + n.Slot, kadm.OpWrite},
		}},
		{"projector", []Right{
			{Topic, n.Topic, kadm.OpRead},
			{Group, n.Group, kadm.OpRead},
			{Group, n.Group + "-former", kadm.OpRead}, // of the read model that was live before a rebuild
		}},
		{"auditor", []Right{
			{Topic, n.Topic, kadm.OpRead},
			{Topic, checkpoint, kadm.OpRead},
		}},
	}
}

// EnsureKafkaFrom makes those of the logins whose password is in the directory, in the file kafka_NAME, or gives them
// this password, adds the rights that they lack, and returns their names. There must be at least one. A right that was
// given by another stays.
func EnsureKafkaFrom(ctx context.Context, client *kgo.Client, logins []KafkaLogin, dir string) (made []string, err error) {
	admin := kadm.NewClient(client)
	for _, l := range logins {
		password, given, err := password(dir, "kafka_"+l.Name)
		if err != nil {
			return made, err
		}
		if !given {
			continue
		}
		if err := l.Ensure(ctx, admin, password); err != nil {
			return made, fmt.Errorf("login %s: %w", l.Name, err)
		}
		made = append(made, l.Name)
	}
	if len(made) == 0 {
		return nil, fmt.Errorf("there is no password in %s: give each login a file kafka_NAME there (kafka_%s, ...)", dir, logins[0].Name)
	}
	return made, nil
}

const scramIterations = 8192 // Kafka takes 4096 to 16384

// Ensure gives the login its rights, and then its password: once it can log in, it can do what it is there for. The
// cluster is sent a salted hash.
func (l KafkaLogin) Ensure(ctx context.Context, admin *kadm.Client, password string) error {
	for _, r := range l.Rights {
		if err := r.grant(ctx, admin, l.Name); err != nil {
			return err
		}
	}
	altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{
		User: l.Name, Mechanism: kadm.ScramSha512, Iterations: scramIterations, Password: password,
	}})
	if err != nil {
		return err
	}
	return altered.Error()
}

func (r Right) grant(ctx context.Context, admin *kadm.Client, login string) error {
	results, err := admin.CreateACLs(ctx, r.ACL(login).AllowHosts())
	if err != nil {
		return fmt.Errorf("right to %s %s %s: %w", r.Operation, r.Resource, r.Name, err)
	}
	for _, result := range results {
		if result.Err != nil {
			return fmt.Errorf("right to %s %s %s: %w %s", r.Operation, r.Resource, r.Name, result.Err, result.ErrMessage)
		}
	}
	return nil
}

// ACL is the right in Kafka's terms, for all hosts.
func (r Right) ACL(login string) *kadm.ACLBuilder {
	b := kadm.NewACLs().Allow("User:" + login).ResourcePatternType(kadm.ACLPatternLiteral).Operations(r.Operation)
	switch r.Resource {
	case Group:
		return b.Groups(r.Name)
	case TransactionalID:
		return b.TransactionalIDs(r.Name)
	default:
		return b.Topics(r.Name)
	}
}
