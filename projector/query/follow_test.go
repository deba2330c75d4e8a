package query

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func (s *service) serve() *httptest.Server {
	server := httptest.NewServer(s)
	s.t.Cleanup(server.Close)
	return server
}

func dial(t *testing.T, server *httptest.Server) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// follower is a client that follows changes as an EventSource does.
type follower struct {
	body io.ReadCloser
	text *bufio.Reader
	id   string // the last one that it has got
}

// message is one event of a stream; without a name it only told its id.
type message struct {
	name, data string
}

func follow(url, id string) (*follower, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if id != "" {
		r.Header.Set("Last-Event-ID", id)
	}
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r) // what does not come in that time, does not come
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		return nil, fmt.Errorf("%s: %s", answer.Status, text)
	}
	return &follower{body: answer.Body, text: bufio.NewReader(answer.Body), id: id}, nil
}

func (s *service) follow(url, id string) *follower {
	s.t.Helper()
	f, err := follow(url, id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(f.close)
	return f
}

func (f *follower) close() { f.body.Close() }

// block reads up to the next empty line.
func (f *follower) block() (m message, err error) {
	id := f.id
	for {
		line, err := f.text.ReadString('\n')
		if err != nil {
			return m, err // what is not complete does not count
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "":
			if line == "\n" {
				f.id = id
				return m, nil
			}
		case "id":
			id = value
		case "event":
			m.name = value
		case "data":
			m.data = value
		}
	}
}

// next reads the next event, and passes by what only tells an id.
func (f *follower) next() (m message, err error) {
	for m.name == "" && err == nil {
		m, err = f.block()
	}
	return m, err
}

func (f *follower) change() (c change, err error) {
	m, err := f.next()
	if err != nil {
		return c, err
	}
	if m.name != "change" {
		return c, fmt.Errorf("%s: %s", m.name, m.data)
	}
	return c, json.Unmarshal([]byte(m.data), &c)
}

// changes reads n of them.
func (f *follower) changes(t *testing.T, n int) (all []change) {
	t.Helper()
	for range n {
		c, err := f.change()
		if err != nil {
			t.Fatalf("after %d of %d changes: %v", len(all), n, err)
		}
		all = append(all, c)
	}
	return all
}

// position is where the read model is now, as an answer tells it.
func (s *service) position() string {
	s.t.Helper()
	var a kitchenPage
	s.get("/v1/kitchen").into(s.t, &a)
	return a.AsOf.Position.String()
}
