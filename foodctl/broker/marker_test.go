package broker

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// The markers are the broker's own.
func TestTheMarkersOfATransactionSayHowItEnded(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	name := testenv.Topic(t, brokers, 1)
	client, err := Connect(t.Context(), brokers, kgo.TransactionalID(name), kgo.ConsumeTopics(name), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	wants := []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit}
	for _, how := range wants {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: name, Key: []byte{0, 0, 0, 1}}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []kgo.TransactionEndTry
	for len(got) < len(wants) {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			how, ends := EndOf(r)
			if ends != r.Attrs.IsControl() {
				t.Errorf("offset %d: ends a transaction %t, is a marker %t", r.Offset, ends, r.Attrs.IsControl())
			}
			if ends {
				got = append(got, how)
			}
		})
	}
	for i, want := range wants {
		if got[i] != want {
			t.Errorf("transaction %d: commits %t, want %t", i, got[i], want)
		}
	}
}
