package publish

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTransactionThatEndsJustNowDoesNotHang: between the look at the partitions and the coordinator's answer it is committed.
// Taken for one that hangs it would be refused, or aborted by a recovery.
func TestTransactionThatEndsJustNowDoesNotHang(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	p := k.open()
	k.add(p, k.rows(0, 1))
	if err := flush(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	asked := false
	cluster.ControlKey(int16(kmsg.ListTransactions), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() {
			if _, err := p.Commit(t.Context(), k.checkpoint(2)); err != nil {
				t.Error(err)
			}
		})
		asked = true
		return request.ResponseKind(), nil, true // none is under way any more
	})
	hanging, err := FindHanging(t.Context(), k.client, k.topic.Name)
	if err != nil || len(hanging) > 0 {
		t.Errorf("got %v, %v, want none", hanging, err)
	}
	if !asked {
		t.Error("the coordinator was not asked: the transaction was not seen to be open")
	}
}

// TestOwnTransactionsAreKnown: one that a predecessor left may have to be aborted, an own one never.
func TestOwnTransactionsAreKnown(t *testing.T) {
	t.Parallel()
	k := setup(t)
	p := k.open()
	k.add(p, k.rows(0))
	if err := flush(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	open, err := openIn(t.Context(), kadm.NewClient(k.client), []string{k.topic.Name})
	if err != nil || len(open) != 1 {
		t.Fatalf("open: %v, %v, want one", open, err)
	}
	if !p.Owns(open[0]) {
		t.Error("a producer does not know its own transaction")
	}
	if k.open().Owns(open[0]) {
		t.Error("its successor takes it for its own")
	}
}
