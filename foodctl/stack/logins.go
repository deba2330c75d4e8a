package stack

import (
	"crypto/rand"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
)

// logins of one system. Their passwords are made anew at each start and are nowhere but in memory and in the programs'
// environments.
type logins struct {
	writer, relay, projector, reader access.Login
}

func newLogins(prefix string) logins {
	return logins{
		writer:    access.Login{Name: prefix + "_orderservice", Password: rand.Text(), Group: "orders_writer"},
		relay:     access.Login{Name: prefix + "_relay", Password: rand.Text(), Group: "orders_relay", Attributes: "REPLICATION"},
		projector: access.Login{Name: prefix + "_projector", Password: rand.Text(), Group: "readmodel_projector"},
		reader:    access.Login{Name: prefix + "_query", Password: rand.Text(), Group: "readmodel_reader"},
	}
}

func (l logins) all() []access.Login { return []access.Login{l.writer, l.relay, l.projector, l.reader} }
