package broker_test

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestEnsureMakesTheTopicOnce(t *testing.T) {
	t.Parallel()
	client, err := broker.Connect(t.Context(), testenv.Broker(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	name := testenv.Name(t)
	first, err := broker.Ensure(t.Context(), client, name)
	if err != nil {
		t.Fatal(err)
	}
	second, err := broker.Ensure(t.Context(), client, name)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Created || second.Created || first.ID != second.ID {
		t.Errorf("first %+v, second %+v: want one topic, made by the first", first, second)
	}
}
