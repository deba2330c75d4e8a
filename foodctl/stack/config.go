package stack

import (
	"fmt"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// Names are what a system is called on servers that it may share with others.
type Names struct {
	OrdersDB    string
	ReadModelDB string
	Topic       string
	Slot        string
	Group       string
	Login       string // prefix of the programs' database logins
}

// DefaultNames are those of the one system that a machine usually has.
func DefaultNames() Names {
	return Names{
		OrdersDB: "orders", ReadModelDB: "readmodel", Topic: topic.Name, Slot: "food_orders",
		Group: "food-orders-projector", Login: "foodctl",
	}
}

// ScratchNames are those of a system that is made for a trial, and leaves no trace: id tells it from all others.
func ScratchNames(id string) Names {
	return Names{
		OrdersDB: id + "_orders", ReadModelDB: id + "_readmodel", Topic: topic.Name + "-" + id, Slot: id,
		Group: topic.Name + "-" + id, Login: id,
	}
}

// CheckpointTopic is where the relay keeps its position.
func (n Names) CheckpointTopic() string { return fmt.Sprintf("%s.checkpoint.%s", n.Topic, n.Slot) }

// Traffic is what the generator of orderservice does.
type Traffic struct {
	Off     bool
	Rate    float64 // orders a second; 0: as fast as it can
	Orders  int64   // how many; 0: no limit
	Seed    uint64  // of the orders; 0: orderservice's own default
	Writers int     // how many write at once; 0: orderservice's own default
}

// Config says what to start.
type Config struct {
	Directory   *Directory // for logs, and the Postgres cluster if DatabaseURL is empty
	DatabaseURL string     // of a superuser or the like; empty: a private cluster
	Brokers     string     // comma-separated addresses; empty: the dev broker
	Ports       Ports
	Names       Names
	Relays      int  // the second and further ones stand by
	Naive       bool // a naive publisher takes the relays' place, of which there must be none; see package naive
	Projectors  int
	Traffic     Traffic
	Cables      bool // the relays reach Kafka by proxies on this machine, for Partition; not where Kafka is encrypted

	Progress func(string) // is told what takes long; not nil
	Notify   func(Change) // is told when a program starts or dies; must not block; not nil
}

// DevBroker says whether the system keeps its topic in memory.
func (c *Config) DevBroker() bool { return c.Brokers == "" }
