package cable

import (
	"encoding/binary"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The versions from which on an answer tells where a new leader is (KIP-951).
const (
	produceTells = 10
	fetchTells   = 16
)

// addresses says whether the answer to the question can hold addresses of brokers.
func (q question) addresses() bool {
	switch kmsg.Key(q.key) {
	case kmsg.Metadata, kmsg.FindCoordinator, kmsg.DescribeCluster:
		return true
	case kmsg.Produce:
		return q.version >= produceTells
	case kmsg.Fetch:
		return q.version >= fetchTells
	default: // what else has them, brokers say to each other
		return false
	}
}

// rewrite returns an answer, which begins behind its correlation id, with the proxies' addresses.
func (b *Brokers) rewrite(q question, answer []byte) ([]byte, error) {
	r := kmsg.ResponseForKey(q.key)
	r.SetVersion(q.version)
	tags := 0
	if r.IsFlexible() {
		var err error
		if tags, err = tagSize(answer); err != nil {
			return nil, err
		}
	}
	if err := r.ReadFrom(answer[tags:]); err != nil {
		return nil, err
	}
	if err := b.replaceAll(r); err != nil {
		return nil, err
	}
	return r.AppendTo(answer[:tags:tags]), nil
}

// replaceAll replaces all addresses in an answer.
func (b *Brokers) replaceAll(r kmsg.Response) error {
	var errs []error
	replace := func(name *string, port *int32) { errs = append(errs, b.replace(name, port)) }
	switch r := r.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Brokers {
			replace(&r.Brokers[i].Host, &r.Brokers[i].Port)
		}
	case *kmsg.FindCoordinatorResponse:
		replace(&r.Host, &r.Port)
		for i := range r.Coordinators {
			replace(&r.Coordinators[i].Host, &r.Coordinators[i].Port)
		}
	case *kmsg.DescribeClusterResponse:
		for i := range r.Brokers {
			replace(&r.Brokers[i].Host, &r.Brokers[i].Port)
		}
	case *kmsg.ProduceResponse:
		for i := range r.Brokers {
			replace(&r.Brokers[i].Host, &r.Brokers[i].Port)
		}
	case *kmsg.FetchResponse:
		for i := range r.Brokers {
			replace(&r.Brokers[i].Host, &r.Brokers[i].Port)
		}
	}
	return errors.Join(errs...)
}

// tagSize is the size of the tagged fields of an answer's header (KIP-482): a count, then for each a tag and as many
// bytes as it says.
func tagSize(b []byte) (int, error) {
	at := 0
	number := func() uint64 {
		n, size := binary.Uvarint(b[min(at, len(b)):])
		if size <= 0 {
			at = len(b) + 1
			return 0
		}
		at += size
		return n
	}
	for left := number(); left > 0 && at <= len(b); left-- {
		number()
		at += int(min(number(), longest))
	}
	if at > len(b) {
		return 0, errNotKafka
	}
	return at, nil
}
