// Package consumer reads the topic as members of a consumer group and hands each partition's events, in order and in
// batches, to the view.
//
// The group decides who tries; the claim in the database decides whose batches count (I8). So nothing here has to be
// right about ownership for the read model to be right: a member that was paused, cut off or thrown out of the group
// finds itself fenced. What the group knows of offsets is a copy, for tools that show lag: it is never read.
//
// The position of a partition is that of its claim and no other. A partition that cannot be claimed, whose log is not the
// one the read model was made from, or which holds an event that must not be applied, stops: loudly, by itself, and with
// its claim kept, so that nobody applies anything to it until a person has looked. The other partitions go on. It is tried
// again when the group assigns it anew, at the latest when the program starts again.
package consumer
