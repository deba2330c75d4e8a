// Package audit judges whether the pipeline kept its promise: that every committed event is in the topic exactly once
// and in order, and in the read model exactly once.
//
// What must be there follows from the outbox table alone; what is there is read by clients of its own, from the topic's
// beginning, read_committed. No counter, offset or table of the relay or the projector is believed: the slot and the
// checkpoint are looked at as things to be judged, and the read model's offsets say only which state it claims to be in.
//
// It works while traffic flows, by a cut: one snapshot of the outbox.
//   - Missing is an event of the cut that the topic lacks, although the relay has told Postgres that it needs nothing
//     below the cut's log position any more. Until it has, the audit waits, and after Config.Timeout is undecided.
//   - Extra is a record whose event no later snapshot of the outbox has either.
//   - The read model is compared in one snapshot of its own, at the offsets that it holds: it must reflect all events
//     below them and no other, so that it need not stand still.
//
// It promises to report every violation of what it checks that exists when it runs, and none that does not, if the clocks
// of nobody matter and the topic has not been deleted from. It does not see what the outbox does not say: an order that
// was acknowledged and never committed is for a client's journal to find.
//
// Memory: for each event 32 bytes and its share of a hash table, 5.3 to 10.7 bytes; for each order 24 and the same; for
// each source transaction of which a part has been read, some 100; beyond that pages of rows and fetches, and the sums'
// rows. A million events in orders of seven take some 50 MB.
package audit
