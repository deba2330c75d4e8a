package app

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// Of a commit whose request, or whose answer, does not arrive, or arrives when its sender has given it up, the relay does not know
// whether it took place. Whatever it does then, each event is in the topic once.
func TestCommitsThatNobodyKnowsOf_I4(t *testing.T) {
	t.Parallel()
	if err := kafkaserver.Available(); err != nil {
		t.Skip(err) // kfake is not what decides here; its part is TestCommitWithoutAnAnswerIsDecidedByTheCheckpoint_I4
	}
	m, relays, direct := meddled(t, none, requestLost, none, responseLost, none, delayed, delayed, requestLost, responseLost)
	s := setupOn(t, testenv.Orders(t), direct)
	s.config.Brokers = []string{relays}
	s.start()
	const rounds = 3 // some 6 of each
	s.wait("each fault to be met", func() bool {
		s.write(1, 2)
		return m.times(none) >= 3*rounds
	})
	s.published()
	for _, fault := range []string{requestLost, responseLost, delayed} {
		if n := m.times(fault); n < 2*(rounds-1) {
			t.Errorf("%s: %d times", fault, n)
		} else {
			t.Logf("%s: %d times", fault, n)
		}
	}
}
