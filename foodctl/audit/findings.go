package audit

import (
	"slices"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// findings keeps the first offenders of each kind: memory stays bounded however much is wrong.
type findings struct {
	limit int
	kinds []Kind // in the order of their first offender
	first map[Kind][]Offender
	total int64
}

func newFindings(limit int) *findings {
	return &findings{limit: limit, first: make(map[Kind][]Offender)}
}

// add counts an offender. It reports whether it will be remembered.
func (f *findings) add(o Offender) bool {
	f.total++
	list, has := f.first[o.Kind]
	if !has {
		f.kinds = append(f.kinds, o.Kind)
	}
	if len(list) == f.limit {
		return false
	}
	f.first[o.Kind] = append(list, o)
	return true
}

// replace puts other offenders of a kind in the place of those that are listed, and leaves the total as it is.
func (f *findings) replace(kind Kind, offenders []Offender) {
	if _, has := f.first[kind]; !has && len(offenders) > 0 {
		f.kinds = append(f.kinds, kind)
	}
	if len(offenders) > 0 || len(f.first[kind]) > 0 {
		f.first[kind] = offenders
	}
}

// remove takes an offender back that was found innocent.
func (f *findings) remove(kind Kind, id uuid.UUID) {
	f.total--
	f.first[kind] = slices.DeleteFunc(f.first[kind], func(o Offender) bool { return o.Event == id })
}

// detail replaces what is said of an offender.
func (f *findings) detail(kind Kind, id uuid.UUID, text string) {
	for i, o := range f.first[kind] {
		if o.Event == id && text != "" {
			f.first[kind][i].Detail = text
		}
	}
}

// offenders takes one of each kind in turn until there are as many as the limit, so that a thousand of one kind do not
// hide another. They come back kind by kind.
func (f *findings) offenders() []Offender {
	taken := make(map[Kind]int)
	for room := f.limit; room > 0; {
		before := room
		for _, kind := range f.kinds {
			if room > 0 && taken[kind] < len(f.first[kind]) {
				taken[kind]++
				room--
			}
		}
		if room == before {
			break
		}
	}
	list := []Offender{}
	for _, kind := range f.kinds {
		list = append(list, f.first[kind][:taken[kind]]...)
	}
	return list
}

// offender is a finding about a record.
func offender(kind Kind, rec *kgo.Record, e event.Event, detail string) Offender {
	return Offender{
		Kind: kind, Partition: new(rec.Partition), Offset: new(rec.Offset),
		Event: e.ID, Order: e.Order, Version: e.Version, Detail: detail,
	}
}
