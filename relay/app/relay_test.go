package app

import "testing"

func TestFirstStartPublishesWhatWasThereAndWhatComes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.write(3, 2)
	_, stop := s.start()
	s.published()
	s.write(20, 3)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.write(5, 1)
	s.start()
	s.published()
}
