package consumer

import (
	"errors"
	"fmt"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// notYet is an error that passes.
type notYet struct{ error }

// errBehind ends a session because another read model is live that lacks records that were read already: they are read again.
var errBehind = fmt.Errorf("what is live now is behind: %w", errRejoin)

// reclaim claims the partition again, after a cut-over, in the tables that are live now. Its error is view.ErrFenced if there was no
// cut-over, and otherwise why the partition cannot go on.
func (w *worker) reclaim(who string) error {
	cut := false
	for n := 1; ; n++ {
		err := w.claimAgain(&cut)
		passing, passes := errors.AsType[notYet](err)
		if !passes {
			return err
		}
		if w.ctx.Err() != nil {
			return errGivenUp
		}
		w.status.retrying(who, passing.error)
		w.log.Warn("partition not claimed again, trying again", "partition", w.part, "err", passing.error)
		if !w.pause(backoff(n)) {
			return errGivenUp
		}
	}
}

// claimAgain tries it once. The tables should be at the offset of those before, or further. It looks for a cut-over until it has seen
// one: a claim without an answer may have made this member the owner.
func (w *worker) claimAgain(cut *bool) (err error) {
	if !*cut {
		*cut, err = w.state.CutOver(w.ctx)
	}
	switch {
	case view.Permanent(err):
		return err
	case err != nil:
		return notYet{err}
	case !*cut:
		return view.ErrFenced
	}
	log, err := Log(w.ctx, w.admin, w.cfg.Topic, w.part)
	if err != nil {
		return notYet{err}
	}
	claimed, refused, err := w.view.Claim(w.ctx, w.owner, log)
	if err != nil {
		return notYet{err}
	}
	if why := refused[w.part]; why != nil {
		return why
	}
	before, _ := w.state.Next()
	now, _ := claimed[w.part].Next()
	if now < before {
		w.quit(fmt.Errorf("partition %d: %w", w.part, errBehind))
		return errGivenUp
	}
	w.log.Info("another read model is live, going on in it", "partition", w.part, "offset", now)
	w.state = claimed[w.part]
	return nil
}
