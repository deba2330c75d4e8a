package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// certificate makes one that signs itself, for 127.0.0.1, in two files.
func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	return cert, key
}

// secured is the address of a server behind a guard with a certificate.
func secured(t *testing.T, cert, key string) string {
	t.Helper()
	g, err := Flags{TLSCert: cert, TLSKey: key}.Guard(discard)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	g.Protect(server.Config)
	listener := server.Listener
	ended := make(chan error, 1)
	go func() { ended <- server.Config.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		_ = server.Config.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func TestWhoTrustsTheAuthorityIsAnsweredOverTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, "ours")
	foreign, _ := certificate(t, "theirs")
	address := secured(t, cert, key)
	ask := func(flags ClientFlags) (how string, err error) {
		t.Helper()
		client, err := flags.Client(discard)
		if err != nil {
			t.Fatal(err)
		}
		defer client.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, flags.URL(address), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		return answer.Status, nil
	}
	if how, err := ask(ClientFlags{CAFile: cert}); err != nil || how != "200 OK" {
		t.Errorf("who trusts it is answered %q, %v", how, err)
	}
	offer := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}
	conn, err := (&tls.Dialer{Config: offer}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if c, _ := conn.(*tls.Conn); c.ConnectionState().NegotiatedProtocol != "http/1.1" {
		t.Errorf("who offers HTTP/2, too, is given %q", c.ConnectionState().NegotiatedProtocol)
	}
	if _, err := ask(ClientFlags{CAFile: foreign}); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("who trusts another authority got %v", err)
	}
	if how, err := ask(ClientFlags{}); err != nil || how != "400 Bad Request" {
		t.Errorf("plain HTTP is answered %q, %v, want 400", how, err)
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	if conn, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", address); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

func TestATokenIsNotShownToWhereARedirectionLeads(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it went there") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, "token")
	client, err := ClientFlags{BearerTokenFile: file}.Client(discard)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("answered %d", answer.StatusCode)
	}
}

func TestACertificateIsReplacedWithoutARestart(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, "first")
	secondCert, secondKey := certificate(t, "second")
	synctest.Test(t, func(t *testing.T) {
		guard, err := Flags{TLSCert: cert, TLSKey: key}.Guard(discard)
		if err != nil {
			t.Fatal(err)
		}
		shown := func() string {
			t.Helper()
			<-time.After(every)
			pair, err := guard.tls().GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return pair.Leaf.Subject.CommonName
		}
		move := func(from, to string) {
			t.Helper()
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		if got := shown(); got != "first" {
			t.Errorf("shown is %s", got)
		}
		move(secondCert, cert)
		if got := shown(); got != "first" {
			t.Errorf("with the certificate replaced and not yet its key, shown is %s", got)
		}
		move(secondKey, key)
		if got := shown(); got != "second" {
			t.Errorf("with both replaced shown is %s", got)
		}
	})
}

func TestWhatDoesNotGoTogetherIsRefusedByItsFlag(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, "ours")
	none := filepath.Join(t.TempDir(), "none")
	for want, f := range map[string]Flags{
		"--tls-cert and --tls-key go together": {TLSCert: cert},
		"--tls-cert and --tls-key: open":       {TLSCert: cert, TLSKey: none},
		"--tls-cert and --tls-key: ":           {TLSCert: key, TLSKey: cert},
		"--token-file: open":                   {TokenFile: none},
		"--token-file: " + cert + ": line 1":   {TokenFile: cert},
	} {
		if _, err := f.Guard(discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for want, f := range map[string]ClientFlags{
		"--http-ca-file: open":                        {CAFile: none},
		"--http-ca-file: there is no PEM certificate": {CAFile: key},
		"--bearer-token-file: open":                   {BearerTokenFile: none},
	} {
		if _, err := f.Client(discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
