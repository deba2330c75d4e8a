package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

func (t *target) exists(context.Context) Finding {
	detail := t.meta.Topics[t.Topic]
	switch {
	case errors.Is(detail.Err, kerr.UnknownTopicOrPartition):
		return unusable("there is no topic "+t.Topic,
			fmt.Sprintf("foodctl topics --brokers %s --topic %s", strings.Join(t.Brokers, ","), t.Topic))
	case errors.Is(detail.Err, kerr.TopicAuthorizationFailed):
		return unusable(detail.Err.Error(), t.allow("Write", "--topic "+t.Topic)) // which lets describe, too
	case detail.Err != nil:
		return unknown(fmt.Errorf("topic %s: %w", t.Topic, detail.Err))
	}
	for _, p := range detail.Partitions.Sorted() {
		if p.Leader < 0 {
			return unusable(fmt.Sprintf("partition %d has no leader", p.Partition),
				fmt.Sprintf("start one of the brokers %v", p.Replicas))
		}
	}
	if n := len(detail.Partitions); n != topic.Partitions && t.Layout.Own {
		return warning(fmt.Sprintf("%s has %d partitions, foodctl topics makes %d; the number can never be changed", t.Topic, n,
			topic.Partitions), "before the first event: another topic, foodctl topics --topic NEW and TOPIC=NEW; after it: leave it")
	}
	return ok("%s, %d partitions, id %s", t.Topic, len(detail.Partitions), detail.ID)
}

// absent says why a check of the topic's settings cannot be made.
func (t *target) absent() *Finding {
	if t.topic != nil {
		return nil
	}
	if errors.Is(t.meta.Topics[t.Topic].Err, kerr.UnknownTopicOrPartition) {
		f := unknown(fmt.Errorf("there is no topic %s", t.Topic), "make it, then ask again")
		return &f
	}
	f := unknown(t.unsettled, t.allow("DescribeConfigs", "--topic "+t.Topic))
	return &f
}

func (t *target) cleanup(context.Context) Finding {
	if f := t.absent(); f != nil {
		return *f
	}
	if policy := t.topic["cleanup.policy"]; policy != "delete" {
		return unusable(policy+": it drops events of an order that has later ones",
			t.set(t.Topic, "cleanup.policy", "delete"))
	}
	return ok("delete")
}

func (t *target) retention(context.Context) Finding {
	if f := t.absent(); f != nil {
		return *f
	}
	for _, key := range []string{"retention.ms", "retention.bytes"} {
		if t.topic[key] != "-1" {
			return warning(fmt.Sprintf("%s=%s: events go, then no read model can be rebuilt from the topic, and "+
				"relay recover refuses", key, t.topic[key]),
				t.set(t.Topic, "retention.ms", "-1"), t.set(t.Topic, "retention.bytes", "-1"))
		}
	}
	return ok("for ever")
}

// besides is the most that a record has beside its payload: its headers by the outbox's own limit, its key, the relay's
// headers, the framing, the id of a schema.
const besides = 16<<10 + 4<<10

func (t *target) largest(context.Context) Finding {
	if f := t.absent(); f != nil {
		return *f
	}
	most, err := strconv.Atoi(t.topic["max.message.bytes"])
	if err != nil {
		return unknown(fmt.Errorf("max.message.bytes: %w", err))
	}
	switch {
	case !t.Layout.Own:
		if t.Layout.DeadLetters != "" {
			return ok("%d; an event that is larger goes to %s", most, t.Layout.DeadLetters)
		}
		return ok("%d; an event that is larger halts the relay", most)
	case t.payload == notAsked:
		return unknown(fmt.Errorf("%d; how large the outbox lets payloads be could not be asked", most), "mend Postgres, then ask again")
	case t.payload == 0:
		return warning(fmt.Sprintf("%d, and no constraint outbox_payload_size was found that bounds the table's "+
			"payloads: one that is larger halts the relay", most),
			fmt.Sprintf("ALTER TABLE public.%s ADD CONSTRAINT outbox_payload_size CHECK "+
				"(octet_length(payload::text) <= %d);", outbox.Table, most/2))
	case most < t.payload+besides:
		return unusable(fmt.Sprintf("%d, the outbox takes payloads of %d bytes: such an event halts the relay", most,
			t.payload),
			t.set(t.Topic, "max.message.bytes", strconv.Itoa(t.payload+besides)))
	}
	return ok("%d, payloads have %d at most", most, t.payload)
}

// hour is how long a broker may at least think a record's time to be ahead of its own.
const hour = time.Hour

func (t *target) timestamps(context.Context) Finding {
	if f := t.absent(); f != nil {
		return *f
	}
	if kind := t.topic["message.timestamp.type"]; kind != "CreateTime" {
		return warning(kind+": readers see when an event was published, not when it was committed",
			t.set(t.Topic, "message.timestamp.type", "CreateTime"))
	}
	const before, after = "message.timestamp.before.max.ms", "message.timestamp.after.max.ms"
	if limit, there := t.topic[before]; there && len(limit) < len("9223372036854775807") {
		return warning(fmt.Sprintf("%s=%s: relay recover, which publishes events with their own time, is refused "+
			"those that are older", before, limit),
			t.set(t.Topic, before, "9223372036854775807"))
	}
	if limit, err := strconv.ParseInt(t.topic[after], 10, 64); err == nil && limit < hour.Milliseconds() {
		return warning(fmt.Sprintf("%s=%d: events are refused if the clock of Postgres is so much ahead", after, limit),
			t.set(t.Topic, after, strconv.FormatInt(hour.Milliseconds(), 10)))
	}
	return ok("of the commit in Postgres")
}
