package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Transactions looks at the transactions that are open on the brokers.
type Transactions struct {
	client *kgo.Client
	admin  *kadm.Client
}

// OpenTransactions connects. The caller must close it.
func OpenTransactions(ctx context.Context, brokers string) (*Transactions, error) {
	client, err := Connect(ctx, brokers)
	if err != nil {
		return nil, err
	}
	return &Transactions{client: client, admin: kadm.NewClient(client)}, nil
}

// Close ends the connections.
func (t *Transactions) Close() { t.client.Close() }

// Await returns as soon as a transaction is open whose id ends in suffix, or when ctx ends. It looks without a pause: such
// a transaction is open for a millisecond or two.
func (t *Transactions) Await(ctx context.Context, suffix string) {
	for ctx.Err() == nil {
		open, err := t.admin.ListTransactions(ctx, nil, []string{"Ongoing"})
		if err != nil {
			return // it would only have been the better moment
		}
		for id := range open {
			if strings.HasSuffix(id, suffix) {
				return
			}
		}
	}
}
