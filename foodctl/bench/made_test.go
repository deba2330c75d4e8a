package bench

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
)

func TestAGroupThatHasAMemberIsWaitedFor(t *testing.T) {
	t.Parallel()
	s, err := open(t.Context(), given(t), kafkaserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	group := s.names.Group
	s.made.groups = []string{group}
	joined, join := context.WithCancel(t.Context())
	defer join()
	member, err := broker.Connect(t.Context(), s.Brokers, kgo.ConsumerGroup(group), kgo.ConsumeTopics(s.names.Topic),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { join() }))
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	select {
	case <-joined.Done():
	case <-time.After(time.Minute):
		t.Fatal("no member of the group after a minute")
	}
	admin := kadm.NewClient(s.client)
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := s.scrubGroups(short, admin); err == nil {
		t.Error("a group with a member was taken for removed")
	}
	member.Close()
	if err := s.scrubGroups(t.Context(), admin); err != nil {
		t.Error(err)
	}
	groups, err := admin.ListGroups(t.Context())
	if err != nil || slices.Contains(groups.Groups(), group) {
		t.Errorf("groups %v, %v: want %s removed", groups.Groups(), err, group)
	}
}
