package app

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestFirstStartPublishesWhatWasThereAndWhatComes(t *testing.T) {
	t.Parallel()
	setup(t).publishes()
}

// On the server's own host, its Unix socket costs both less than TCP.
func TestPublishesOverAUnixSocket(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	cluster.Orders()
	setupOn(t, cluster.Socket("orders"), testenv.Broker(t)).publishes()
}

// publishes starts a relay, stops it, and starts another.
func (s *system) publishes() {
	s.t.Helper()
	s.write(3, 2)
	_, stop := s.start()
	s.published()
	s.write(20, 3)
	s.published()
	if err := stop(); err != nil {
		s.t.Fatal(err)
	}
	s.write(5, 1)
	s.start()
	s.published()
}
