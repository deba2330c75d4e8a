package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var deployment = []Identity{
	{Name: "server", Side: Server, Owner: Self}, {Name: "client", Side: Client, Owner: Self}, {Name: "peer", Side: Peer, Owner: Self},
}

func ensure(t *testing.T, root string, at time.Time) bool {
	t.Helper()
	made, err := Ensure(root, deployment, at)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestNothingIsMadeTwiceAndAllOfItAnew(t *testing.T) {
	t.Parallel()
	root, now := t.TempDir(), time.Now()
	file := func(name string) string { return filepath.Join(deployment[0].Dir(root), name) }
	if !ensure(t, root, now) {
		t.Error("the first run made nothing")
	}
	if ensure(t, root, now.Add(lifetime-renewal-time.Hour)) {
		t.Error("made anew though all is good")
	}
	for name, damage := range map[string]func() error{
		"less than a month is left": func() error { now = now.Add(lifetime - renewal + time.Hour); return nil },
		"a certificate is missing":  func() error { return os.Remove(file(certFile)) },
		"another authority's": func() error {
			other := t.TempDir()
			ensure(t, other, now)
			return os.Rename(filepath.Join(deployment[0].Dir(other), certFile), file(certFile))
		},
		"another authority is trusted": func() error {
			other := t.TempDir()
			ensure(t, other, now)
			for _, name := range []string{caFile, keyFile, certFile} {
				if err := os.Rename(filepath.Join(deployment[0].Dir(other), name), file(name)); err != nil {
					return err
				}
			}
			return nil
		},
		"another's name": func() error {
			b, err := os.ReadFile(filepath.Join(deployment[2].Dir(root), certFile))
			return errors.Join(err, os.WriteFile(file(certFile), b, 0o600))
		},
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(filepath.Join(deployment[1].Dir(root), caFile))
		if err != nil {
			t.Fatal(err)
		}
		if !ensure(t, root, now) {
			t.Errorf("%s: nothing was made", name)
		}
		if after, err := os.ReadFile(filepath.Join(deployment[1].Dir(root), caFile)); err != nil || string(after) == string(before) {
			t.Errorf("%s: the authority is the same", name)
		}
		if ensure(t, root, now) {
			t.Errorf("%s: made twice", name)
		}
	}
}

func TestKeysAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	ensure(t, root, time.Now())
	for _, id := range deployment {
		for name, want := range map[string]os.FileMode{caFile: 0o644, certFile: 0o644, keyFile: 0o600, pairFile: 0o600} {
			info, err := os.Stat(filepath.Join(id.Dir(root), name))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode(); got != want {
				t.Errorf("%s of %s has mode %s, want %s", name, id.Name, got, want)
			}
		}
	}
}

func TestACertificateIsGoodForItsSideAndAuthorityAlone(t *testing.T) {
	t.Parallel()
	root, foreign := t.TempDir(), t.TempDir()
	ensure(t, root, time.Now())
	ensure(t, foreign, time.Now())
	server, client, peer := deployment[0], deployment[1], deployment[2]
	for _, tt := range []struct {
		name           string
		server, client Identity
		clientRoot     string // where the client's files are
		good           bool
	}{
		{"server and client", server, client, root, true},
		{"peers", peer, peer, root, true},
		{"a client that passes for a server", client, client, root, false},
		{"a server that passes for a client", server, server, root, false},
		{"a client of another authority", server, client, foreign, false},
	} {
		errServer, errClient := handshake(t, tt.server, root, tt.client, tt.clientRoot)
		if good := errServer == nil && errClient == nil; good != tt.good {
			t.Errorf("%s: server %v, client %v; want good: %t", tt.name, errServer, errClient, tt.good)
		}
	}
}

// handshake connects two who each want the other's certificate, and returns what each says.
func handshake(t *testing.T, server Identity, serverRoot string, client Identity, clientRoot string) (errServer, errClient error) {
	t.Helper()
	near, far := net.Pipe()
	said := make(chan error, 1)
	go func() {
		defer far.Close()
		conn := tls.Server(far, config(t, server, serverRoot))
		_, err := conn.Write([]byte("welcome"))
		said <- err
	}()
	c := config(t, client, clientRoot)
	c.ServerName = server.Name
	conn := tls.Client(near, c)
	_, errClient = io.ReadAll(conn)
	near.Close()
	if errors.Is(errClient, io.ErrUnexpectedEOF) { // the server has said what it had to, without a farewell
		errClient = nil
	}
	return <-said, errClient
}

func config(t *testing.T, id Identity, root string) *tls.Config {
	t.Helper()
	dir := id.Dir(root)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, pairFile), filepath.Join(dir, pairFile)); err != nil {
		t.Errorf("%s: %v", pairFile, err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13,
	}
}

func TestNamesThatCouldLeaveTheDirectoryAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", ":5", "../x", "a/b", ".", "..", "x:", "x:root", "x:-1"} {
		if id, err := Parse(text, Client); err == nil {
			t.Errorf("%q was taken for %+v", text, id)
		}
	}
	if id, err := Parse("relay:65532", Client); err != nil || id != (Identity{Name: "relay", Side: Client, Owner: 65532}) {
		t.Errorf("%+v, %v", id, err)
	}
}
