package topic_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// The prefix is a contract with readers in other languages, and franz-go's reading of it was not written from this code.
func TestPrefixIsConfluentsWireFormat(t *testing.T) {
	t.Parallel()
	for _, id := range []uint32{0, 1, 258, 1<<31 - 1} {
		prefix, err := topic.NewSchemas(map[string]uint32{"order.rated.v1": id}).Prefix(row(1, example(t), ""))
		if err != nil {
			t.Fatal(err)
		}
		value := append(bytes.Clone(prefix), `{"stars":5}`...)
		got, rest, err := new(sr.ConfluentHeader).DecodeID(value)
		if err != nil || got != int(id) || string(rest) != `{"stars":5}` {
			t.Errorf("%d: got %d, %q, %v", id, got, rest, err)
		}
		if got := topic.Payload(value); string(got) != `{"stars":5}` {
			t.Errorf("%d: got payload %q", id, got)
		}
	}
}

func TestTypeWithoutASchemaIsAnErrorOnlyWhereThereIsARegistry(t *testing.T) {
	t.Parallel()
	rated := row(1, example(t), "")
	if prefix, err := topic.Schemas(nil).Prefix(rated); prefix != nil || err != nil {
		t.Errorf("without a registry: %v, %v", prefix, err)
	}
	schemas := topic.NewSchemas(map[string]uint32{"order.placed.v1": 1, "customer": 2})
	_, err := schemas.Prefix(rated)
	if !errors.Is(err, topic.ErrNoSchema) || !strings.Contains(err.Error(), string(rated.ID)) || !strings.Contains(err.Error(), `"order.rated.v1"`) {
		t.Errorf("got %v", err)
	}
	// As its ce_type: of another outbox, a row without a type has that of its aggregate.
	if prefix, err := schemas.Prefix(outbox.Row{AggregateType: []byte("customer")}); !bytes.Equal(prefix, []byte{0, 0, 0, 0, 2}) || err != nil {
		t.Errorf("got %v, %v", prefix, err)
	}
}

// FuzzPayload: a payload that is JSON is read as it was written, with and without a prefix, and nothing makes it panic.
func FuzzPayload(f *testing.F) {
	f.Add(uint32(7), []byte(`{"stars":5}`))
	f.Add(uint32(1<<32-1), []byte(""))
	f.Fuzz(func(t *testing.T, id uint32, payload []byte) {
		prefix, err := topic.NewSchemas(map[string]uint32{"t": id}).Prefix(outbox.Row{Type: []byte("t")})
		if err != nil {
			t.Fatal(err)
		}
		if got := topic.Payload(append(bytes.Clone(prefix), payload...)); !bytes.Equal(got, payload) {
			t.Errorf("behind %x: got %q, want %q", prefix, got, payload)
		}
		if got := topic.Payload(payload); !bytes.Equal(got, payload) && payload[0] != 0 {
			t.Errorf("got %q, want %q", got, payload)
		}
	})
}
