// Package console is the live page: it looks at a running system once a second and tells every browser that is open.
//
// It asks the databases and the brokers itself, the programs only for what nobody else can know, and so it outlives a relay that was
// killed and does not take the relay's word for anything that can be counted. Its zeros are those of a continuous audit of the topic
// (package audit). It promises that a slow browser holds up nobody, and that nothing of a system can be changed through it unless a
// Breaker was given, and then only from this machine with a token.
package console
