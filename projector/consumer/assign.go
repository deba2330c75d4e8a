package consumer

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// claim claims the partitions that the group has given to this member and says where to read them from. The client calls
// it for every set of added partitions, and once more for those whose session ended before it had returned.
//
// The offsets that it gets are the group's copies; it returns a map of its own, from the claims, that leaves out what must
// not be consumed. It tries again until it gets through or the client's session ends: an error would end the session,
// which makes nothing better.
func (s *session) claim(ctx context.Context, copies map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-s.ready
	var parts []int32
	for part := range copies[s.cfg.Topic] {
		parts = append(parts, part)
	}
	slices.Sort(parts)
	who := "claim by " + s.owner
	defer s.status.retrying(who, nil)
	for n := 1; ; n++ {
		offsets, err := s.tryClaim(ctx, parts)
		if err == nil {
			return map[string]map[int32]kgo.Offset{s.cfg.Topic: offsets}, nil
		}
		if ctx.Err() == nil && (!s.cfg.Former || !view.Dropped(err)) {
			s.status.retrying(who, err)
			s.log.WarnContext(ctx, "claim not possible yet, trying again", "partitions", parts, "err", err)
		}
		if err := ops.Sleep(ctx, backoff(n)); err != nil {
			return nil, err
		}
	}
}

func (s *session) tryClaim(ctx context.Context, parts []int32) (map[int32]kgo.Offset, error) {
	log, err := Log(ctx, s.admin, s.cfg.Topic, parts...)
	if err != nil {
		return nil, err
	}
	claimed, refused, err := s.view.Claim(ctx, s.owner, log)
	if err != nil {
		return nil, err
	}
	offsets := make(map[int32]kgo.Offset, len(claimed))
	for _, part := range parts {
		if err := refused[part]; err != nil {
			s.stop(part, err)
			continue
		}
		offsets[part] = s.start(ctx, part, claimed[part])
	}
	return offsets, nil
}

// start starts the worker of a claim and returns the offset that its records must come from.
func (s *session) start(ctx context.Context, part int32, p *view.Partition) kgo.Offset {
	s.lost([]int32{part}) // the worker of a claim whose session ended before the client could use it
	s.metrics.stopped.WithLabelValues(label(part)).Set(0)
	s.metrics.assigned.Inc()
	s.client.ResumeFetchPartitions(map[string][]int32{s.cfg.Topic: {part}}) // paused under an earlier claim
	w := s.newWorker(ctx, part, p)
	s.mu.Lock()
	s.workers[part] = w
	s.mu.Unlock()
	go w.run()
	offset, epoch := p.Next()
	s.log.InfoContext(ctx, "partition claimed", "partition", part, "offset", offset)
	return kgo.NewOffset().At(offset).WithEpoch(epoch)
}

// revoked finishes the batches in hand of partitions that another member is to have, and copies their offsets to the
// group. The client waits for it, and the group for the client. Were a batch cut off instead, nothing would be lost: the
// next owner reads it again.
func (s *session) revoked(ctx context.Context, parts []int32) {
	if len(parts) == 0 {
		return
	}
	<-s.ready
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	workers := s.remove(parts)
	for _, w := range workers {
		w.drain()
	}
	for _, w := range workers {
		w.join(ctx)
	}
	s.forget(parts)
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), mirrorTimeout)
	defer cancel()
	if err := s.client.CommitMarkedOffsets(ctx); err != nil {
		s.log.DebugContext(ctx, "offsets not copied to the group", "err", err)
	}
}

// lost cuts off partitions that another member already may have.
func (s *session) lost(parts []int32) {
	workers := s.remove(parts)
	for _, w := range workers {
		w.cancel()
	}
	for _, w := range workers {
		<-w.done
	}
	s.forget(parts)
}

// forget comes after the workers have ended: one that stops in this moment must not report it afterwards.
func (s *session) forget(parts []int32) {
	for _, part := range parts {
		s.metrics.forget(part)
		s.status.stop(part, nil)
	}
}

// remove takes the partitions' workers, as far as there are any, out of the session.
func (s *session) remove(parts []int32) []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	var removed []*worker
	for _, part := range parts {
		if w := s.workers[part]; w != nil {
			removed = append(removed, w)
			delete(s.workers, part)
			s.metrics.assigned.Dec()
		}
	}
	if len(removed) > 0 {
		s.log.Info("partitions given up", "partitions", parts)
	}
	return removed
}
