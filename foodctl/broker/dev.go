// Package broker looks after the Kafka side of a system: the dev broker, and the topic of the events.
//
// The dev broker is kfake, franz-go's in-process broker. It speaks the real protocol, transactions and fencing included,
// but keeps everything in memory: it promises nothing beyond the life of this process. Its data directory would not help,
// for it is not crash-safe.
package broker

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Dev is a running dev broker.
type Dev struct {
	cluster *kfake.Cluster
}

// StartDev starts the dev broker on a port of this machine. Each one has a cluster id of its own, so that nobody can
// take its topics for those of the one before (I7).
func StartDev(port int) (*Dev, error) {
	c, err := kfake.NewCluster(kfake.Ports(port), kfake.ClusterID("dev-"+uuid.NewString()))
	if err != nil {
		return nil, fmt.Errorf("dev broker: %w", err)
	}
	return &Dev{c}, nil
}

// Address is where clients connect.
func (d *Dev) Address() string { return d.cluster.ListenAddrs()[0] }

// Close stops the broker and forgets everything.
func (d *Dev) Close() { d.cluster.Close() }
