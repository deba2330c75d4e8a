package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/relay/doctor"
	"github.com/adamkwhite/kafkafoodpipeline/relay/registry"
)

// registryWithin is how long a session waits for the schema registry.
const registryWithin = 30 * time.Second

// register has the schema registry know the schemas of the events, if there is one. It is asked once: what it has said holds for ever, so
// that a later session does not need it.
func (s *session) register(ctx context.Context) (err error) {
	if s.schemas == nil || s.registered != nil {
		return nil
	}
	deadline := time.Now().Add(registryWithin)
	for waits := false; ; waits = true {
		s.relay.registered, err = s.schemas.Register(ctx)
		if err == nil {
			if waits {
				s.health.Set(healthRelay, errors.New("starting"))
			}
			s.log.Info("schemas registered", "registry", s.schemas.Address(), "schemas", len(s.registered))
			return nil
		}
		if permanent(err) || time.Now().After(deadline) {
			return err
		}
		if !waits {
			s.log.Warn("waiting for the schema registry", "err", err)
		}
		s.health.Set(healthRelay, err)
		if err := ops.Sleep(ctx, askAgain); err != nil {
			return err
		}
	}
}

// knows is what a start would find of the schema registry, without registering anything; nothing where there is none.
func (r *relay) knows(ctx context.Context) []doctor.Finding {
	if r.schemas == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookFor, errors.New("no answer for too long"))
	defer cancel()
	f := doctor.Finding{System: doctor.Registry, Check: "schemas", Verdict: doctor.OK}
	known, lacking, err := r.schemas.Check(ctx)
	switch {
	case errors.Is(err, registry.ErrRefused):
		f.Verdict, f.ExitCode, f.Found = doctor.Wrong, doctor.ExitUnusable, err.Error()
	case err != nil:
		f.Verdict, f.ExitCode, f.Found = doctor.Unknown, doctor.ExitUnknown, err.Error()
		f.Remedy = []string{"start it, or correct RELAY_SCHEMA_REGISTRY; without the variable, values are plain"}
	default:
		f.Found = fmt.Sprintf("%s has %d, and the next start registers %d, which are compatible", r.schemas.Address(), known, lacking)
		r.comparing(ctx, &f)
	}
	return []doctor.Finding{f}
}

// comparing adds whether that is worth anything. A login that may not ask can be one that may register, so that is no more than said.
func (r *relay) comparing(ctx context.Context, f *doctor.Finding) {
	compares, err := r.schemas.Compares(ctx)
	switch {
	case err != nil:
		f.Found += ", as far as it compares, which could not be asked: " + err.Error()
	case !compares:
		f.Verdict = doctor.Warning
		f.Found += ", as far as it compares: its compatibility is NONE"
		f.Remedy = []string{"curl -X PUT -H 'Content-Type: application/json' -d '{\"compatibility\": \"FULL_TRANSITIVE\"}' " + r.schemas.Address() + "/config"}
	}
}
