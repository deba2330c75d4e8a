package bench

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// perOrder is how many events an order has.
const perOrder = 8

var types = [perOrder]event.Type{
	event.TypeOrderPlaced, event.TypePaymentAuthorized, event.TypeOrderAccepted, event.TypePreparationStarted,
	event.TypeOrderReady, event.TypePaymentCaptured, event.TypeOrderDispatched, event.TypeOrderDelivered,
}

// trial tells the events of one measurement from those of all others. With an event's number it determines everything
// in the event but its sequence number: fill computes the same in SQL.
type trial uint32

// number is an event's place in its trial, from 0: the orders one after the other, with perOrder versions each.
type number int64

func (n number) order() int64   { return int64(n) / perOrder }
func (n number) version() int64 { return int64(n)%perOrder + 1 }

// numberOf finds an event's number by its order and version. It returns false for an order of another trial.
func (t trial) numberOf(order uuid.UUID, version int64) (number, bool) {
	if binary.BigEndian.Uint32(order[:4]) != uint32(t) || version < 1 || version > perOrder {
		return 0, false
	}
	var last [8]byte
	copy(last[2:], order[10:])
	return number(int64(binary.BigEndian.Uint64(last[:]))*perOrder + version - 1), true
}

// id has the form of a UUIDv7. The middle tells an order's id from those of its events.
func (t trial) id(order int64, middle uint16) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[8:], uint64(order))
	binary.BigEndian.PutUint32(id[:], uint32(t))
	binary.BigEndian.PutUint16(id[4:], middle)
	id[6], id[8], id[9] = 0x70, 0x80, 0x00
	return id
}

// firstAt is when the event with the number 0 happened. Those behind it are a second apart.
var firstAt = time.Date(2026, 1, 1, 0, 0, 0, 123456000, time.UTC)

// payloadForm is some 300 bytes, a tenth of them such that no compression helps.
const payloadForm = `{"order":%d,"version":%d,"customer_id":%d,"lines":[{"item_id":%d,"quantity":2,` +
	`"unit_price":{"minor":%d,"currency":"EUR"}},{"item_id":%d,"quantity":1,"unit_price":{"minor":890,"currency":"EUR"}}],` +
	`"total":{"minor":%d,"currency":"EUR"},"service":"delivery","address":"%s","note":"ring twice"}`

// event computes an event.
func (t trial) event(n number) event.Event {
	hash := md5.Sum(fmt.Appendf(nil, "%d:%d", t, n))
	h := hex.EncodeToString(hash[:])
	order, version := n.order(), n.version()
	customer, price := order%100+1, order%40*50+500
	return event.Event{
		ID: t.id(order, uint16(version)), Order: t.id(order, 0), Version: version, Type: types[version-1],
		At:      firstAt.Add(time.Duration(n) * time.Second),
		Payload: fmt.Appendf(nil, payloadForm, order, version, customer, order%30+1, price, order%20+1, 2*price+890, h),
		// The headers that orderservice's API gives its events.
		Headers: map[string]string{
			event.HeaderActor:         "customer:" + strconv.FormatInt(customer, 10),
			event.HeaderCorrelationID: h[16:],
			event.HeaderTraceparent:   "00-" + h + "-" + h[:16] + "-01",
		},
	}
}

// row is an event as the relay gets it from the log.
func row(e event.Event, seq int64) (outbox.Row, error) {
	headers, err := json.Marshal(e.Headers)
	return outbox.Row{
		Seq: strconv.AppendInt(nil, seq, 10), ID: []byte(e.ID.String()), AggregateType: []byte(event.AggregateOrder),
		AggregateID: []byte(e.Order.String()), Type: []byte(e.Type), Version: strconv.AppendInt(nil, e.Version, 10),
		Payload: e.Payload, Headers: headers, OccurredAt: e.At.AppendFormat(nil, "2006-01-02 15:04:05.999999-07"),
	}, err
}
