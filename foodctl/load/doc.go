// Package load puts a load on the orders API, or on the event log below it, and says how it was borne.
//
// It promises an open loop: when a request is due follows from the profile alone, never from earlier answers, and its
// latency counts from that moment. A server that stalls is thus charged with all that were due meanwhile, which a client
// that waits for its answer before it asks again leaves out (coordinated omission). The time from sending to the answer
// stands beside it, as service time. And it promises that each answer was held against what it had to be: an answer that
// was not is a violation.
//
// It does not promise that the requests of two runs come in the same order: what a command is about depends on the seed
// and its place in the schedule, which order it is given to depends on the answers before. And it does not know how much
// of a latency is its own machine's: it should have one to itself.
package load
