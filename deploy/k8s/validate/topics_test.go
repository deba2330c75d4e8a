package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// TestTopicsAreAsTheProgramsWouldMakeThem has foodctl topics and the relay make their topics on three brokers, and compares.
func TestTopicsAreAsTheProgramsWouldMakeThem(t *testing.T) {
	t.Parallel()
	brokers, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := broker.Ensure(t.Context(), client, "food-orders", 3); err != nil {
		t.Fatal(err)
	}
	name := checkpoint.Topic("food-orders", "food_orders")
	if err := checkpoint.EnsureTopic(t.Context(), client, name, 3, "2"); err != nil {
		t.Fatal(err)
	}
	made := made(t, kadm.NewClient(client), "food-orders", name)

	declared, err := decode[kafkaTopic](objects(t, "production"), "KafkaTopic")
	if err != nil {
		t.Fatal(err)
	}
	manifests := make(map[string]settings)
	for _, k := range declared {
		manifests[k.name()] = settings{int(k.Spec.Partitions), int(k.Spec.Replicas), k.Spec.Config}
	}
	if diff := cmp.Diff(made, manifests); diff != "" {
		t.Errorf("-as the programs make them +as the manifests do\n%s", diff)
	}
}

type settings struct {
	Partitions, Replicas int
	Config               map[string]string
}

// made is what the brokers say of the topics; of their settings, those that were given.
func made(t *testing.T, admin *kadm.Client, names ...string) map[string]settings {
	t.Helper()
	details, err := admin.ListTopics(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]settings)
	for _, c := range configs {
		s := settings{len(details[c.Name].Partitions), details[c.Name].Partitions.NumReplicas(), make(map[string]string)}
		for _, each := range c.Configs {
			if each.Source == kmsg.ConfigSourceDynamicTopicConfig {
				s.Config[each.Key] = each.MaybeValue()
			}
		}
		found[c.Name] = s
	}
	return found
}
