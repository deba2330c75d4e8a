package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// mended carries the remedy out and wants the check to find nothing then.
func (p *patient) mended(f Finding) {
	p.Helper()
	done := 0
	for _, step := range f.Remedy {
		if p.carryOut(step) {
			done++
		}
	}
	if done == 0 {
		p.Fatalf("%s: nothing of %q could be carried out", f.Check, f.Remedy)
	}
	p.want(p.found(f.System, f.Check), OK, "", 0)
}

// carryOut does what a step of a remedy says, as whoever reads it would, and returns false for what only a reader can.
func (p *patient) carryOut(step string) bool {
	p.Helper()
	program, _, _ := strings.Cut(step, " ")
	switch {
	case step == "SELECT pg_reload_conf();":
		p.reload()
	case step == "restart Postgres":
		p.restart()
	case program == "ALTER_REPLICATION_SLOT":
		conn, err := wal.Connect(p.Context(), p.config.DatabaseURL)
		if err != nil {
			p.Fatal(err)
		}
		defer func() { _ = conn.Close(p.Context()) }()
		if _, err := conn.Exec(p.Context(), step).ReadAll(); err != nil {
			p.Fatalf("%s: %v", step, err)
		}
	case strings.HasSuffix(step, ";"):
		p.sql(step)
	case program == "kafka-configs.sh" && option(step, "--entity-name") != "":
		key, value, _ := strings.Cut(option(step, "--add-config"), "=")
		p.alter(option(step, "--entity-name"), key, value)
	case program == "kafka-configs.sh":
		key, value, _ := strings.Cut(option(step, "--add-config"), "=")
		p.alterBrokers(key, value)
	case program == "kafka-features.sh":
		name, level, _ := strings.Cut(option(step, "--feature"), "=")
		n, err := strconv.ParseInt(level, 10, 16)
		if err != nil {
			p.Fatal(err)
		}
		p.feature(name, int16(n), upgrade)
	case program == "kafka-acls.sh":
		p.allow(step)
	case program == "foodctl" && strings.HasPrefix(step, "foodctl topics"):
		p.create(option(step, "--topic"), topic.Partitions, nil)
	case strings.HasPrefix(step, "RELAY_MAX_RETAINED_WAL="):
		if _, err := fmt.Sscanf(step, "RELAY_MAX_RETAINED_WAL=%d", &p.config.MaxRetainedWAL); err != nil {
			p.Fatal(err)
		}
	default:
		return false
	}
	return true
}

// option is the value behind an option of a command line, without its quotes.
func option(command, name string) string {
	fields := strings.Fields(command)
	for i, f := range fields[:len(fields)-1] {
		if f == name {
			return strings.Trim(fields[i+1], "'")
		}
	}
	return ""
}

func (p *patient) alterBrokers(key, value string) {
	p.Helper()
	admin := kadm.NewClient(p.client)
	changed, err := admin.AlterBrokerConfigs(p.Context(), []kadm.AlterConfig{{Name: key, Value: &value}})
	if err == nil {
		err = changed[0].Err
	}
	if err != nil {
		p.Fatalf("%s=%s: %v", key, value, err)
	}
	p.until(key+" to be known", func() bool {
		meta, err := admin.BrokerMetadata(p.Context())
		if err != nil {
			return false
		}
		configs, err := admin.DescribeBrokerConfigs(p.Context(), meta.Brokers.NodeIDs()...)
		return err == nil && valued(configs[0])[key] == value
	})
}

// The kinds of change that a feature's level can have (KIP-584).
const (
	upgrade       = 1
	safeDowngrade = 2
)

func (p *patient) feature(name string, level int16, kind int8) {
	p.Helper()
	_, err := kadm.NewClient(p.client).UpdateFeatures(p.Context(), false,
		kadm.FeatureUpdate{Feature: name, MaxVersionLevel: level, UpgradeType: kind})
	if err != nil {
		p.Fatalf("%s=%d: %v", name, level, err)
	}
}

// allow does what kafka-acls.sh --add does, over the client of whoever may.
func (p *patient) allow(command string) {
	p.Helper()
	right := kadm.NewACLs().Allow(option(command, "--allow-principal")).AllowHosts().ResourcePatternType(kadm.ACLPatternLiteral)
	operation, err := kmsg.ParseACLOperation(strings.ToUpper(option(command, "--operation")))
	if err != nil {
		p.Fatal(err)
	}
	right = right.Operations(operation)
	switch {
	case option(command, "--topic") != "":
		right = right.Topics(option(command, "--topic"))
	case option(command, "--transactional-id") != "":
		right = right.TransactionalIDs(option(command, "--transactional-id"))
	case strings.HasSuffix(command, "--cluster"):
		right = right.Clusters()
	default:
		p.Fatalf("of what: %s", command)
	}
	made, err := kadm.NewClient(p.client).CreateACLs(p.Context(), right)
	if err == nil {
		err = made[0].Err
	}
	if err != nil {
		p.Fatalf("%s: %v", command, err)
	}
}
