package app

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// TestTheFenceComesBeforeTheCheckpointIsRead_I6: a predecessor that is still alive commits once more at the last moment at
// which it can, while its successor's fence is on its way. The successor must know of it: had it read the checkpoint
// before, it would publish the predecessor's last transaction again, or refuse a healthy topic.
func TestTheFenceComesBeforeTheCheckpointIsRead_I6(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := setupOn(t, testenv.Orders(t), strings.Join(cluster.ListenAddrs(), ","))
	_, stop := s.start()
	s.write(1, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.tx(s.db, s.events(uuid.New(), 1, 1))
	commit := s.predecessor()
	fenced := make(chan struct{})
	cluster.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(commit) // the brokers go on meanwhile
		close(fenced)
		return nil, nil, false
	})
	s.start()
	<-fenced
	s.published()
	s.write(3, 1)
	s.published()
}

// predecessor is a relay that has the slot's next transaction, of one event, in hand. What it returns commits it.
func (s *system) predecessor() (commit func()) {
	s.t.Helper()
	ctx := s.t.Context()
	begin, row, end := s.next()
	info, err := publish.Inspect(ctx, s.kafka, s.config.Topic)
	if err != nil {
		s.t.Fatal(err)
	}
	producer, err := publish.Open(ctx, publish.Config{
		Brokers:         s.config.Brokers,
		TransactionalID: "relay." + s.config.Topic + "." + s.config.Slot,
		CheckpointTopic: checkpoint.Topic(s.config.Topic, s.config.Slot),
		Topic:           s.config.Topic,
		Layout:          layout.Own(),
		Log:             slog.New(slog.DiscardHandler),
	}, info)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(producer.Close)
	if err := producer.Begin(); err != nil {
		s.t.Fatal(err)
	}
	if _, err := producer.Add(ctx, row.Row, topic.Source{Commit: begin.LSN, Committed: begin.Time, Last: true}); err != nil {
		s.t.Fatal(err)
	}
	cp := s.checkpoint()
	cp.At, cp.Events = checkpoint.Position{End: end.LSN}, cp.Events+1
	return func() {
		if _, err := producer.Commit(ctx, cp); err != nil {
			s.t.Errorf("the predecessor's last commit: %v", err)
		}
	}
}

// next reads the slot's next transaction, acknowledges nothing and leaves the slot free.
func (s *system) next() (begin, row, end wal.Message) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	conn, err := wal.Connect(ctx, s.config.DatabaseURL)
	if err != nil {
		s.t.Fatal(err)
	}
	stream, err := wal.Open(ctx, conn, s.config.Slot, layout.Own())
	if err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx) }()
	for end.Kind == 0 {
		for _, m := range (<-stream.Chunks()).Messages {
			switch m.Kind {
			case wal.Begin:
				begin = m
			case wal.Insert:
				row = m
			case wal.Commit:
				end = m
			}
		}
	}
	cancel()
	if err := <-ended; ctx.Err() == nil {
		s.t.Fatal(err)
	}
	s.wait("the slot to be free", func() bool {
		slot, err := wal.Inspect(s.t.Context(), s.db, s.config.Slot)
		return err == nil && !slot.Active
	})
	return begin, row, end
}
