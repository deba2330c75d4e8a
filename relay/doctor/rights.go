package doctor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// operations are what a relay does with a topic. Read is for the gates: the last event of each partition.
var operations = []struct {
	name string
	op   kadm.ACLOperation
}{{"Write", kadm.OpWrite}, {"Read", kadm.OpRead}, {"DescribeConfigs", kadm.OpDescribeConfigs}}

// rights are what the brokers say that this login may do (KIP-430); where nobody is refused anything, that is everything.
func (t *target) rights(context.Context) Finding {
	detail := t.meta.Topics[t.Topic]
	if errors.Is(detail.Err, kerr.UnknownTopicOrPartition) {
		return unknown(fmt.Errorf("there is no topic %s", t.Topic), "make it, then ask again")
	}
	return t.may(detail, t.Topic)
}

func (t *target) may(detail kadm.TopicDetail, topic string) Finding {
	if detail.Err != nil && !errors.Is(detail.Err, kerr.TopicAuthorizationFailed) {
		return unknown(detail.Err)
	}
	var missing, remedy []string
	for _, o := range operations {
		if !slices.Contains(detail.AuthorizedOperations, o.op) {
			missing = append(missing, o.name)
			remedy = append(remedy, t.allow(o.name, "--topic "+topic))
		}
	}
	if missing != nil {
		return unusable(fmt.Sprintf("%s may not %s", t.principal(), strings.Join(missing, ", ")), remedy...)
	}
	return ok("%s may write, read and describe %s", t.principal(), topic)
}

// keeperRights asks for a topic that is not there whether this login might make it.
func (t *target) keeperRights(ctx context.Context) Finding {
	name := t.checkpointTopic()
	detail := t.meta.Topics[name]
	if !errors.Is(detail.Err, kerr.UnknownTopicOrPartition) && !errors.Is(detail.Err, kerr.TopicAuthorizationFailed) {
		return t.may(detail, name)
	}
	replicas := max(1, t.meta.Topics[t.Topic].Partitions.NumReplicas())
	answers, err := t.admin.ValidateCreateTopics(ctx, 1, int16(replicas), nil, name)
	if err == nil {
		_, err = answers.On(name, nil)
	}
	if err == nil {
		err = answers[name].Err
	}
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists): // it is there, and may not be described
		return t.may(detail, name)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		remedy := []string{t.allow("Create", "--topic "+name)}
		for _, o := range operations {
			remedy = append(remedy, t.allow(o.name, "--topic "+name))
		}
		return unusable(t.principal()+" may not make "+name, remedy...)
	case err != nil:
		return unknown(fmt.Errorf("try to make %s: %w", name, err))
	}
	return ok("%s may make %s; what else it may can be asked once that is there", t.principal(), name)
}

// identity asks whether this login may write under the relay's transactional id, and fences nobody.
//
// To describe the id tells of the right to Describe, which Write brings along, but not of Write. That is asked by ending a
// transaction of a producer that cannot be, since ids are given out from 0 in blocks: a coordinator looks at the right first,
// and then refuses because the id is another producer's, or nobody's.
func (t *target) identity(ctx context.Context) Finding {
	id := t.transactionalID()
	remedy := t.allow("Write", "--transactional-id "+id)
	described, err := t.describe(ctx, id)
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return unusable(t.principal()+" may not write as "+id, remedy)
	case err != nil && !errors.Is(err, kerr.TransactionalIDNotFound):
		return unknown(fmt.Errorf("describe transactional id %s: %w", id, err), "start the brokers that are away")
	}
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID, end.ProducerID, end.ProducerEpoch = id, math.MaxInt64, 0
	answer, err := end.RequestWith(ctx, t.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return unusable(t.principal()+" may describe "+id+" but not write under it", remedy)
	case !errors.Is(err, kerr.InvalidProducerIDMapping):
		return unknown(fmt.Errorf("may %s write as %s: got %w", t.principal(), id, orNothing(err)),
			"ask again in a moment")
	}
	state := "never used"
	if described.State != "" {
		state = "its last transaction is " + described.State
	}
	return ok("%s may write as %s (%s); IdempotentWrite is not needed with it", t.principal(), id, state)
}

// settled is how long a new cluster may take to make its log of transactions, which it does when it is first asked about one.
const settled = 10 * time.Second

func (t *target) describe(ctx context.Context, id string) (d kadm.DescribedTransaction, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settled, errors.New("the cluster has no coordinator for it"))
	defer cancel()
	for {
		described, err := t.admin.DescribeTransactions(ctx, id)
		if err == nil {
			err = described[id].Err
		}
		if !kerr.IsRetriable(err) {
			return described[id], err
		}
		if sleep := ops.Sleep(ctx, 100*time.Millisecond); sleep != nil {
			return d, fmt.Errorf("%w: %w", sleep, err)
		}
	}
}

func orNothing(err error) error {
	if err == nil {
		return errors.New("no error, where there is no such producer")
	}
	return err
}
