// Package certs makes a private certificate authority, and a certificate for each server and client of a deployment.
//
// It promises that a new run changes nothing while all that it made before is good for a month, and makes everything
// anew otherwise, also after a run that was cut off. The authority's key is never written: it signs the certificates of one
// run and is forgotten, so that nobody can take it and make another one. Programs that hold old certificates must read
// the new ones, all of them, because they are of another authority.
package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Identity is who a certificate speaks for, on which side of a connection.
type Identity struct {
	Name  string // common name; but for a client, its host name too
	Side  Side
	Owner int // id of the user that alone may read the key; Self for whoever runs this
}

// Side is what a certificate is good for: a client cannot pass for a server, nor a server for a client.
type Side string

// The sides of a connection, each by the name of the directory that its certificates are in. A peer is on both, as a
// broker is that connects to others.
const (
	Server Side = "servers"
	Client Side = "clients"
	Peer   Side = "peers"
)

func (s Side) usages() []x509.ExtKeyUsage {
	switch s {
	case Server:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case Client:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	default:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
}

// Self is an Identity's owner that need not be changed.
const Self = -1

// Parse reads NAME or NAME:UID.
func Parse(text string, side Side) (Identity, error) {
	name, owner, given := strings.Cut(text, ":")
	id := Identity{Name: name, Side: side, Owner: Self}
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return id, fmt.Errorf("%q: want NAME or NAME:UID", text)
	}
	if given {
		uid, err := strconv.ParseUint(owner, 10, 31)
		if err != nil {
			return id, fmt.Errorf("%q: want NAME or NAME:UID", text)
		}
		id.Owner = int(uid)
	}
	return id, nil
}

// The files of an identity, in a directory of its own so that it can be all that a container sees.
const (
	caFile   = "ca.crt"  // the authority's certificate
	certFile = "tls.crt" // written last: where it is, the others are
	keyFile  = "tls.key"
	pairFile = "tls.pem" // key and certificate, as Java takes them
)

// Dir is where the files of an identity are.
func (id Identity) Dir(root string) string {
	return filepath.Join(root, string(id.Side), id.Name)
}

const (
	lifetime = 365 * 24 * time.Hour
	renewal  = 30 * 24 * time.Hour // before the end
)

// Ensure makes the certificates of all identities below root, unless they are there and good, and reports whether it did.
func Ensure(root string, ids []Identity, now time.Time) (bool, error) {
	if good(root, ids, now) {
		return false, nil
	}
	ca, err := newAuthority(now)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		if err := os.Remove(filepath.Join(id.Dir(root), certFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
	}
	certificates := make([][]byte, len(ids))
	for i, id := range ids {
		var key []byte
		if certificates[i], key, err = ca.sign(id, now); err != nil {
			return false, err
		}
		if err := id.write(root, ca.pem, certificates[i], key); err != nil {
			return false, err
		}
	}
	for i, id := range ids {
		if err := replace(filepath.Join(id.Dir(root), certFile), certificates[i], 0o644, Self); err != nil {
			return false, err
		}
	}
	return true, nil
}

// write writes what has to be there before the certificate.
func (id Identity) write(root string, ca, certificate, key []byte) error {
	dir := id.Dir(root)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, caFile), ca, 0o644, Self); err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, keyFile), key, 0o600, id.Owner); err != nil {
		return err
	}
	return replace(filepath.Join(dir, pairFile), append(key, certificate...), 0o600, id.Owner)
}

// replace writes a file beside and renames it, so that nobody reads half of it, nor the key before it is its owner's.
func replace(path string, content []byte, mode os.FileMode, owner int) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return err
	}
	if owner != Self && owner != os.Getuid() {
		if err := os.Chown(temporary, owner, -1); err != nil {
			return err
		}
	}
	return os.Rename(temporary, path)
}

// good reports whether all certificates are there, of one authority, for these names, and not about to end.
func good(root string, ids []Identity, now time.Time) bool {
	var authority []byte
	for _, id := range ids {
		ca, err := os.ReadFile(filepath.Join(id.Dir(root), caFile))
		if err != nil || authority != nil && !bytes.Equal(ca, authority) {
			return false
		}
		authority = ca
		certificate, err := os.ReadFile(filepath.Join(id.Dir(root), certFile))
		if err != nil || id.verify(ca, certificate, now.Add(renewal)) != nil {
			return false
		}
	}
	return true
}

func (id Identity) verify(ca, certificate []byte, at time.Time) error {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return errors.New("not PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	options := x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: id.Side.usages()}
	if c.Subject.CommonName != id.Name {
		return fmt.Errorf("it is of %s", c.Subject.CommonName)
	}
	_, err = c.Verify(options)
	return err
}
