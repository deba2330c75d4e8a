package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// form is a Record's JSON. Of format 1 there are target and last_events, of format 2 cluster_id and topics.
type form struct {
	Format     int             `json:"format"`
	Phase      Phase           `json:"phase"`
	Slot       string          `json:"slot"`
	Source     Source          `json:"source"`
	Target     *target         `json:"target,omitempty"`
	Cluster    string          `json:"cluster_id,omitempty"`
	Topics     map[string]Ends `json:"topics,omitempty"`
	At         Position        `json:"position"`
	LastEvents []string        `json:"last_events,omitempty"`
	Events     int64           `json:"events"`
	Reason     string          `json:"reason,omitempty"`
	Overrides  []string        `json:"overrides,omitempty"`
	WrittenAt  time.Time       `json:"written_at"`
}

// target is the one topic of format 1.
type target struct {
	ClusterID  string `json:"cluster_id"`
	Topic      string `json:"topic"`
	TopicID    string `json:"topic_id"`
	Partitions int    `json:"partitions"`
}

// MarshalJSON implements json.Marshaler.
func (r Record) MarshalJSON() ([]byte, error) {
	f := form{
		Format: r.Format, Phase: r.Phase, Slot: r.Slot, Source: r.Source, At: r.At, Events: r.Events,
		Reason: r.Reason, Overrides: r.Overrides, WrittenAt: r.WrittenAt,
	}
	if r.Format != Format {
		f.Cluster, f.Topics = r.Cluster, r.Topics
		return json.Marshal(f)
	}
	if len(r.Topics) != 1 {
		return nil, fmt.Errorf("format %d has room for one topic, and there are %d", Format, len(r.Topics))
	}
	for name, ends := range r.Topics {
		f.Target = &target{ClusterID: r.Cluster, Topic: name, TopicID: ends.ID, Partitions: len(ends.Last)}
		f.LastEvents = ends.Last
	}
	return json.Marshal(f)
}

// Marshal returns the record's JSON form.
func (r Record) Marshal() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	return b, nil
}

// ErrNewer means that a newer relay wrote the checkpoint. ErrDamaged means that it cannot be read.
var (
	ErrNewer   = errors.New("the checkpoint is of a newer format")
	ErrDamaged = errors.New("the checkpoint is damaged")
)

// Unmarshal reads what Marshal wrote. It refuses a newer format, and a record that is not complete.
func Unmarshal(b []byte) (Record, error) {
	var version struct { // looked at first: of a newer format nothing else need be as it is here
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if version.Format > FormatRouted {
		return Record{}, fmt.Errorf("%w: it has format %d, this relay knows up to %d: run a newer relay", ErrNewer, version.Format, FormatRouted)
	}
	var f form
	if err := json.Unmarshal(b, &f); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	r := Record{
		Format: f.Format, Phase: f.Phase, Slot: f.Slot, Source: f.Source, Cluster: f.Cluster, Topics: f.Topics, At: f.At, Events: f.Events,
		Reason: f.Reason, Overrides: f.Overrides, WrittenAt: f.WrittenAt,
	}
	if f.Format == Format {
		if f.Target == nil || len(f.LastEvents) != f.Target.Partitions {
			return Record{}, fmt.Errorf("%w: %d last events of %+v", ErrDamaged, len(f.LastEvents), f.Target)
		}
		r.Cluster = f.Target.ClusterID
		r.Topics = map[string]Ends{f.Target.Topic: {ID: f.Target.TopicID, Last: f.LastEvents}}
	}
	switch {
	case r.Format < 1, r.Phase != Loading && r.Phase != Streaming:
		return Record{}, fmt.Errorf("%w: format %d, phase %q", ErrDamaged, r.Format, r.Phase)
	case r.At.Partial != nil && (r.At.Partial.Rows < 1 || r.At.Partial.Commit < r.At.End):
		return Record{}, fmt.Errorf("%w: %d rows of transaction %s, everything up to %s",
			ErrDamaged, r.At.Partial.Rows, r.At.Partial.Commit, r.At.End)
	}
	return r, nil
}
