package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
)

// authority signs the certificates of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	File string // its certificate, PEM
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.File = write(t, filepath.Join(a.dir, "ca.pem"), "CERTIFICATE", der)
	return a
}

// issue makes a certificate and its key, in two files.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	private := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return write(a.t, filepath.Join(a.dir, name+".pem"), "CERTIFICATE", der), write(a.t, filepath.Join(a.dir, name+".key"), "PRIVATE KEY", pkcs8)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t *testing.T, file, kind string, der []byte) string {
	t.Helper()
	return secret(t, file, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func secret(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// broker is one that takes nobody without a certificate of the authority and the login relay/s3cret.
func (a *authority) broker() string {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.issue("broker"))
	if err != nil {
		a.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "relay", "s3cret"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12}))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// ping asks the broker as the flags say.
func ping(t *testing.T, broker string, s kafka.Security) error {
	t.Helper()
	client, err := kgo.NewClient(append(s.Options(), kgo.SeedBrokers(broker), kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

func TestOnlyWhoHasEachPartGetsIn(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	broker := ours.broker()
	cert, key := ours.issue("relay")
	foreignCert, foreignKey := theirs.issue("relay")
	password := secret(t, filepath.Join(ours.dir, "password"), "s3cret\n")
	whole := kafka.Security{CAFile: ours.File, CertFile: cert, KeyFile: key, User: "relay", PasswordFile: password}
	if err := whole.Check(); err != nil {
		t.Fatal(err)
	}
	if err := ping(t, broker, whole); err != nil {
		t.Fatalf("with everything: %v", err)
	}
	for name, change := range map[string]func(*kafka.Security){
		"without encryption":               func(s *kafka.Security) { s.CAFile = "" },
		"who trusts another authority":     func(s *kafka.Security) { s.CAFile = theirs.File },
		"without a certificate":            func(s *kafka.Security) { s.CertFile, s.KeyFile = "", "" },
		"a certificate of another's":       func(s *kafka.Security) { s.CertFile, s.KeyFile = foreignCert, foreignKey },
		"without a login":                  func(s *kafka.Security) { s.User = "" },
		"under another name":               func(s *kafka.Security) { s.User = "projector" },
		"with a password that is not this": func(s *kafka.Security) { s.PasswordFile = secret(t, filepath.Join(ours.dir, "wrong"), "wrong") },
	} {
		other := whole
		change(&other)
		if err := ping(t, broker, other); err == nil {
			t.Errorf("%s: got in", name)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
}

func TestAPasswordAndACertificateAreReadAnewForEachConnection(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	broker := ours.broker()
	cert, key := theirs.issue("relay")
	s := kafka.Security{CAFile: ours.File, CertFile: cert, KeyFile: key, User: "relay", PasswordFile: secret(t, filepath.Join(ours.dir, "password"), "old")}
	client, err := kgo.NewClient(append(s.Options(), kgo.SeedBrokers(broker), kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if client.Ping(t.Context()) == nil {
		t.Fatal("got in with the wrong certificate and password")
	}
	goodCert, goodKey := ours.issue("relay")
	for from, to := range map[string]string{goodCert: cert, goodKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	secret(t, s.PasswordFile, "s3cret")
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("the same client, after the files were replaced: %v", err)
	}
}

func TestWhatDoesNotGoTogetherIsRefusedByItsFlag(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	cert, key := ours.issue("relay")
	for want, s := range map[string]kafka.Security{
		"--kafka-cert-file and --kafka-key-file go together": {CAFile: ours.File, CertFile: cert},
		"--kafka-cert-file needs --kafka-ca-file":            {CertFile: cert, KeyFile: key},
		"--kafka-user and --kafka-password-file go together": {User: "relay"},
		"--kafka-ca-file: open":                              {CAFile: filepath.Join(ours.dir, "none")},
		"there is no PEM certificate in":                     {CAFile: key},
		"--kafka-cert-file and --kafka-key-file: ":           {CAFile: ours.File, CertFile: key, KeyFile: cert},
		"--kafka-password-file: open":                        {User: "relay", PasswordFile: filepath.Join(ours.dir, "none")},
	} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := (kafka.Security{}).Check(); err != nil {
		t.Errorf("nothing given: %v", err)
	}
}
