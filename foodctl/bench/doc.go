// Package bench measures the pipeline's relay: how fast it drains a backlog, beside what this machine can do at most;
// how long an event takes from its commit to a reader; and how long a standby takes to take over. Of the projector it
// measures the same: how fast it makes a read model, how long a record takes into it, and how long a takeover takes.
//
// It promises that every figure is followed by a check of the very records and rows that it was measured with, and that a
// figure whose check has found anything is marked void. It promises nothing about other machines: what holds elsewhere are
// the ratios, because limit and program are measured in one run.
//
// The relay's check is not the audit of package audit, which needs a read model and orders that have one. There each event
// is a function of its place in the trial (see trial), so what must arrive is computed, and compared byte for byte. The
// projector's check is the audit: its events are lives of orders (see lives), told once more for the database that the
// audit judges by.
package bench
