package consumer

import (
	"errors"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// remedyOf says what to do about a dead letter.
func remedyOf(reason view.Reason) string {
	switch reason {
	case view.UnknownType:
		return "an event of a newer program: install that version of the projector, then projector letters redrive"
	case view.Undecodable:
		return "something other than the relay writes to the topic, or the record is damaged: projector letters show it; discard it if it is no event"
	case view.Hole:
		return "an event before it is missing from the topic: compare it with the outbox (foodctl verify), publish what is missing, then projector letters redrive"
	case view.Behind:
		return "nothing is wrong with it: see the order's letter before it"
	default:
		return "projector letters show it: it contradicts the order's events before it; mend the program that wrote it or the projector, then projector letters redrive"
	}
}

// remedy says what to do about the error that stopped a partition.
func remedy(err error) string {
	switch {
	case errors.Is(err, view.ErrTooManyBlocked):
		return "so many are hardly faults of single orders: look at projector letters list, mend the cause, redrive or discard; then restart the projector, with a higher --max-blocked if need be"
	case errors.Is(err, view.ErrTopic), errors.Is(err, view.ErrUnknownModel):
		return "see the error"
	case view.Permanent(err):
		return "the read model's schema, grants or rows are not as they should be: run foodctl migrate, then restart the projector"
	}
	return "mend what the error names and restart the projector"
}
