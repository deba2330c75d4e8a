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
	const each = 4
	s.wait("each fault to happen", func() bool {
		s.write(1, 2)
		return min(m.times(requestLost), m.times(responseLost), m.times(delayed)) >= each
	})
	s.published()
	for _, fault := range []string{requestLost, responseLost, delayed} {
		t.Logf("%s: %d times", fault, m.times(fault))
	}
}
