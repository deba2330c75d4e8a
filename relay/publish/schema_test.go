package publish

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

func TestPayloadsStandUntouchedBehindTheirSchemasID(t *testing.T) {
	t.Parallel()
	k := setup(t)
	plain := k.rows(0, 1)
	p := k.open()
	k.add(p, plain)
	cp, err := p.Commit(t.Context(), k.checkpoint(1))
	if err != nil {
		t.Fatal(err)
	}
	k.config.Schemas = topic.NewSchemas(map[string]uint32{"order.ready.v1": 258})
	p = k.open()
	registered := k.rows(0, 1, 2)
	for i := range registered {
		registered[i].Payload = []byte(" { \"a\" : 1, \"a\":2 }\n")
	}
	k.add(p, registered)
	cp.Events = 2
	if _, err = p.Commit(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	k.holds(plain, registered)
	got := k.values()
	for _, row := range plain {
		if value := got[string(row.ID)]; value != "{}" {
			t.Errorf("from before the registry: %q", value)
		}
	}
	for _, row := range registered {
		if value := got[string(row.ID)]; value != "\x00\x00\x00\x01\x02 { \"a\" : 1, \"a\":2 }\n" {
			t.Errorf("got %q", value)
		}
	}
}

// values are those of the topic's events.
func (k *target) values() map[string]string {
	k.t.Helper()
	partitions, _, err := tail.Open(k.t.Context(), k.client, k.topic.Name)
	if err != nil {
		k.t.Fatal(err)
	}
	all := make(map[string]string)
	for _, p := range partitions {
		err := p.Scan(k.t.Context(), p.Start, func(r *kgo.Record) error {
			id, err := topic.ID(r)
			all[id] = string(r.Value)
			return err
		})
		if err != nil {
			k.t.Fatal(err)
		}
	}
	return all
}

// To bury it would be to lose events for a file that is missing.
func TestEventWithoutASchemaIsRefusedAndNoDeadLetter(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.config.Schemas = topic.NewSchemas(map[string]uint32{"order.placed.v1": 1})
	k.config.Layout = layout.Own()
	k.config.Layout.DeadLetters = k.topic.Name
	k.config.Buried = func() { t.Error("it was buried") }
	p := k.open()
	if err := p.Begin(); err != nil {
		t.Fatal(err)
	}
	row := k.rows(0)[0]
	_, err := p.Add(t.Context(), row, source)
	if !errors.Is(err, topic.ErrNoSchema) || !strings.Contains(err.Error(), string(row.ID)) || !strings.Contains(err.Error(), "install that version's relay") {
		t.Errorf("got %v", err)
	}
	if to := p.only.partitions[0]; to.open.count != 0 || to.last != nil {
		t.Error("it was produced")
	}
}

func TestNullStaysNull(t *testing.T) {
	t.Parallel()
	p := &Producer{config: Config{Layout: &layout.Layout{Tombstones: true}, Schemas: topic.NewSchemas(nil)}}
	for _, payload := range [][]byte{nil, []byte(" ")} {
		if _, v, err := p.shape(outbox.Row{Payload: payload}, source); v.length() != -1 || v.size() != 0 || err != nil {
			t.Errorf("%q has the value %v, %v", payload, v, err)
		}
	}
}

func TestTheSchemasIDCountsTowardsTheSizeOfAnEvent(t *testing.T) {
	t.Parallel()
	largest := func(schemas topic.Schemas) int {
		k := setup(t)
		k.topic.MaxMessageBytes, k.config.Schemas = 20_000, schemas
		p := k.open()
		if err := p.Begin(); err != nil {
			t.Fatal(err)
		}
		row := k.rows(0)[0]
		for size := 20_000; ; size-- {
			row.Payload = bytes.Repeat([]byte("x"), size)
			n, err := p.Add(t.Context(), row, source)
			if err == nil {
				if n <= size {
					t.Errorf("an event with a payload of %d bytes counts as %d", size, n)
				}
				return size
			}
			if !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
		}
	}
	plain, registered := largest(nil), largest(topic.NewSchemas(map[string]uint32{"order.ready.v1": 1}))
	if plain != registered+5 {
		t.Errorf("the largest payload has %d bytes, and with a registry %d", plain, registered)
	}
}
