package event

import (
	"encoding/json"
	"maps"
	"slices"
)

// The log is never written again, so every version of a payload that was ever written has to be read. Each is decoded into
// the struct of its version, which knows the next one; the last of them is the only one that the rest of the program sees.
//
// A new version of order.cancelled, say, takes
//
//   - the struct: OrderCancelled changes, and its old form stays beside it as orderCancelledV1;
//   - the type: TypeOrderCancelled becomes "order.cancelled.v2", which is what is written from then on; decoders gets an
//     entry for it, and keeps one for "order.cancelled.v1", of orderCancelledV1;
//   - the function: orderCancelledV1.next, which returns an OrderCancelled;
//   - the sample: testdata/order.cancelled.v2.json, beside the one of v1;
//   - the contract: go run ./foodctl contracts --write docs/contracts.
//
// A change of Money or Line is a new version of each type that has one.
//
// A field that is added is a new version too, although a version without it would decode: a program that does not know
// the field would leave it out in silence, and its read model would differ from another program's. So nobody writes a field
// that its version does not have. One that comes from elsewhere is ignored, by all programs alike. It stays in the stored
// bytes; and since the log cannot be mended, to refuse it would close its order for ever.
//
// A program that does not know a version says ErrUnknownType. So orderservice is installed last, and of two that run beside
// each other the older one refuses commands for orders that the newer one has written to.
//
// Whoever reads stored bytes, and not Data, has to know each version: of ours that is the SQL of foodctl/audit's tests.
// Clients of the API are given a payload with the type that it was written in.

// older is a payload in a version that has a successor.
type older interface {
	Data

	// next returns the payload in the next version. It is pure: no clock, no I/O, no chance, so that an event is the same to
	// everyone who reads it, at any time. It cannot fail: what is in the log has happened.
	next() Data
}

// upcast returns the payload in the newest version.
func upcast(data Data) Data {
	for {
		old, is := data.(older)
		if !is {
			return data
		}
		data = old.next()
	}
}

// decoder reads the payload of one version of a type.
type decoder func(payload []byte) (Data, error)

func decode[D Data](payload []byte) (Data, error) {
	var d D
	err := json.Unmarshal(payload, &d)
	return d, err
}

// Versions returns the empty payload of each version of each type that was ever written, sorted by type. Not upcast: what they
// are of is the struct of that version.
func Versions() []Data {
	var all []Data
	for _, t := range slices.Sorted(maps.Keys(decoders)) {
		data, err := decoders[t]([]byte("{}"))
		if err != nil {
			panic("event: " + string(t) + " has no empty payload: " + err.Error())
		}
		all = append(all, data)
	}
	return all
}
