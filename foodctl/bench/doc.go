// Package bench measures the pipeline's relay: how fast it drains a backlog, beside what this machine can do at most;
// how long an event takes from its commit to a reader; and how long a standby takes to take over.
//
// It promises that every figure is followed by a check of the very records that it was measured with, and that a figure
// whose check has found anything is marked void. It promises nothing about other machines: what holds elsewhere are the
// ratios, because limit and relay are measured in one run.
//
// The check is not the audit of package audit, which needs a read model and orders that have one. Here each event is a
// function of its place in the trial (see trial), so what must arrive is computed, and compared byte for byte.
package bench
