package consumer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

var errNotJoined = errors.New("not in the group yet: is the broker reachable and does the topic exist?")

// status keeps what the members and their partitions report, and tells the Health the sum of it.
type status struct {
	health Health

	mu      sync.Mutex       // guards all below, and the order in which health is told
	members map[int]error    // nil: in the group
	stopped map[int32]error  // why the partition stopped
	trouble map[string]error // what is being retried, by who retries
}

func newStatus(members int, h Health) *status {
	s := &status{health: h, members: make(map[int]error), stopped: make(map[int32]error), trouble: make(map[string]error)}
	for id := range members {
		s.joined(id, errNotJoined)
	}
	return s
}

func (s *status) joined(member int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members[member] = err
	s.tell()
}

// stop reports a partition as stopped, or with nil as not.
func (s *status) stop(part int32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.stopped, part)
	} else {
		s.stopped[part] = err
	}
	s.tell()
}

// retrying reports that who is trying again because of err, or with nil that he got through.
func (s *status) retrying(who string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.trouble[who] == nil {
		return
	}
	if err == nil {
		delete(s.trouble, who)
	} else {
		s.trouble[who] = err
	}
	s.tell()
}

// tell is called with mu held.
func (s *status) tell() {
	s.health.Set("group", join(s.members, "member %v"))
	s.health.Set("partitions", join(s.stopped, "partition %v"))
	s.health.Set("progress", join(s.trouble, "%v"))
}

func join[K int | int32 | string](m map[K]error, name string) error {
	var all []error
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] != nil {
			all = append(all, fmt.Errorf(name+": %w", k, m[k]))
		}
	}
	return errors.Join(all...)
}
