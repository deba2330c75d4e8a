package bench

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
