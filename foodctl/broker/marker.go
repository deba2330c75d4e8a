package broker

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kgo"
)

// EndOf reads the key of a control record: a version, and a type that is 0 for abort and 1 for commit. It returns how the
// record ends its transaction, and whether it ends one at all.
func EndOf(r *kgo.Record) (how kgo.TransactionEndTry, ends bool) {
	if !r.Attrs.IsControl() || len(r.Key) < 4 {
		return kgo.TryAbort, false
	}
	switch binary.BigEndian.Uint16(r.Key[2:]) {
	case 0:
		return kgo.TryAbort, true
	case 1:
		return kgo.TryCommit, true
	}
	return kgo.TryAbort, false
}
