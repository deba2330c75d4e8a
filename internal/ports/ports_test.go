package ports_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

func TestFreePortCanBeTakenAndIsNoneOfTheKernels(t *testing.T) {
	t.Parallel()
	for range 100 {
		port, err := ports.Free()
		if err != nil {
			t.Fatal(err)
		}
		if port < 1024 || port >= 32768 {
			t.Errorf("port %d is privileged or the kernel's to give away", port)
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}
