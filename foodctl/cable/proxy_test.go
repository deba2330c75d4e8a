package cable

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a server that sends back what it gets, until the test ends.
func echo(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// say sends a byte and returns what comes back, or os.ErrDeadlineExceeded.
func say(c net.Conn, within time.Duration) error {
	b := []byte{'x'}
	if _, err := c.Write(b); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, b)
	return err
}

func TestACutHoldsEverythingAndLosesNothing(t *testing.T) {
	t.Parallel()
	g := NewGate()
	p, err := Start(t.Context(), 0, echo(t), g)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := say(c, time.Minute); err != nil {
		t.Fatalf("before the cut: %v", err)
	}
	g.Cut()
	if err := say(c, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("during the cut: %v, want silence", err)
	}
	late, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatalf("a new connection during the cut: %v", err)
	}
	defer late.Close()
	g.Mend()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("what was sent during the cut: %v", err)
	}
	c.Close() // the server serves one after the other
	if err := say(late, time.Minute); err != nil {
		t.Errorf("the new connection, after the cut: %v", err)
	}
}

func TestAProxyThatIsClosedDuringACutEnds(t *testing.T) {
	t.Parallel()
	g := NewGate()
	p, err := Start(t.Context(), 0, echo(t), g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := say(c, time.Minute); err != nil {
		t.Fatal(err)
	}
	g.Cut()
	p.Close() // or the test does not end
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives")
	}
}
