// Package registry has a schema registry know the schemas of the events before the relay publishes any.
//
// It promises that nothing is registered unless all schemas are compatible with what the registry has, as far as the registry is set to
// compare, and that the ids which it returns are the registry's own of exactly these schemas. Registering again is no change. It does not
// promise that the registry keeps them.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// within bounds a request.
const within = 5 * time.Second

// allVersions has a schema compared with as many versions as the registry's level says.
const allVersions = -2

// ErrRefused means that the registry has answered, and to ask again is of no use before somebody changes something.
var ErrRefused = errors.New("the schema registry refuses")

// Registry is one that speaks Confluent's protocol.
type Registry struct {
	client  *sr.Client
	http    *http.Client
	address string
	schemas []schema
}

// Open returns the registry that the flags name; nil for none. Own says that the outbox is the orders database's. Nothing is asked yet. An
// error is one of what was given.
func Open(f Flags, own bool) (*Registry, error) {
	if err := f.check(own); err != nil || f.URL == "" {
		return nil, err
	}
	all, err := schemas(f.Dir)
	if err != nil {
		return nil, err
	}
	r := &Registry{address: f.address(), schemas: all, http: &http.Client{
		Timeout:   within,
		Transport: http.DefaultTransport.(*http.Transport).Clone(),
		// A login is not carried elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	r.client, err = sr.NewClient(sr.URLs(r.address), sr.HTTPClient(r.http), sr.UserAgent("relay"), sr.PreReq(f.login),
		sr.DefaultParams(sr.Verbose), sr.LogLevel(sr.LogLevelNone))
	return r, err
}

// Address is where the registry is. It may be shown.
func (r *Registry) Address() string { return r.address }

// Register has the registry know all schemas, and returns what is written in front of the payloads.
func (r *Registry) Register(ctx context.Context) (topic.Schemas, error) {
	defer r.http.CloseIdleConnections()
	ids, lacking, err := r.compare(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range lacking {
		id, err := r.client.RegisterSchema(ctx, s.subject(), s.registered(), -1, -1)
		if err == nil {
			err = ids.add(s, id)
		}
		if err != nil {
			return nil, r.explain(fmt.Errorf("register %s: %w", s.kind, err))
		}
	}
	return topic.NewSchemas(ids), nil
}

// Check returns how many schemas the registry has, and the error that Register would, but for one of its writing. It changes nothing.
func (r *Registry) Check(ctx context.Context) (known, lacking int, err error) {
	defer r.http.CloseIdleConnections()
	has, lacks, err := r.compare(ctx)
	return len(has), len(lacks), err
}

// Compares says whether the registry is set to compare the schemas of a subject at all.
func (r *Registry) Compares(ctx context.Context) (bool, error) {
	defer r.http.CloseIdleConnections()
	level := r.client.Compatibility(ctx, sr.GlobalSubject)[0]
	return level.Level != sr.CompatNone, r.explain(level.Err)
}

type ids map[string]uint32

func (all ids) add(s schema, id int) error {
	if id < 0 || id > 1<<32-1 {
		return fmt.Errorf("its id %d does not fit into four bytes", id)
	}
	all[s.kind] = uint32(id)
	return nil
}

// compare asks for the ids of the schemas, and whether those which it lacks may be registered.
func (r *Registry) compare(ctx context.Context) (has ids, lacks []schema, err error) {
	has = make(ids)
	var incompatible []string
	for _, s := range r.schemas {
		found, err := r.client.LookupSchema(ctx, s.subject(), s.registered())
		switch {
		case err == nil:
			err = has.add(s, found.ID)
		case missing(err, sr.ErrSchemaNotFound):
			lacks = append(lacks, s)
			var against []string
			against, err = r.comparable(ctx, s)
			incompatible = append(incompatible, against...)
		case missing(err, sr.ErrSubjectNotFound, sr.ErrSubjectSoftDeleted): // nothing to compare with
			lacks = append(lacks, s)
			err = nil
		}
		if err != nil {
			return nil, nil, r.explain(fmt.Errorf("schema of %s: %w", s.kind, err))
		}
	}
	if incompatible != nil {
		return nil, nil, fmt.Errorf("%w at %s: %s: make the change another version of the type, or take away there what another "+
			"program has registered under its name", ErrRefused, r.address, strings.Join(incompatible, ", and "))
	}
	return has, lacks, nil
}

// comparable returns what the registry has against a schema; nothing if it is compatible.
func (r *Registry) comparable(ctx context.Context, s schema) (against []string, err error) {
	result, err := r.client.CheckCompatibility(ctx, s.subject(), allVersions, s.registered())
	if err != nil || result.Is {
		return nil, err
	}
	found := "the schema of " + s.kind + " is not compatible with what it has"
	if len(result.Messages) > 0 {
		found += " (" + strings.Join(result.Messages, "; ") + ")"
	}
	return []string{found}, nil
}

// missing says whether a registry has answered that it does not have one of these. The answer of something else has no such code.
func missing(err error, these ...*sr.Error) bool {
	var answer *sr.ResponseError
	return errors.As(err, &answer) && slices.ContainsFunc(these, func(e *sr.Error) bool { return answer.ErrorCode == e.Code })
}

// explain says of an error where it was met, and whether to ask again.
func (r *Registry) explain(err error) error {
	var answer *sr.ResponseError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &answer):
		return fmt.Errorf("ask the schema registry at %s: %w", r.address, err)
	case answer.StatusCode >= 500, answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("the schema registry at %s answered with %d: %w", r.address, answer.StatusCode, err)
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w at %s: %d: give the user of --schema-registry, or its password, the right to read and register: %w",
			ErrRefused, r.address, answer.StatusCode, err)
	}
	where := r.address
	if answer.ErrorCode == 0 {
		where += ", if it is one (Apicurio's URL is http://HOST:PORT/apis/ccompat/v7)"
	}
	return fmt.Errorf("%w at %s: %d: %w", ErrRefused, where, answer.StatusCode, err)
}
