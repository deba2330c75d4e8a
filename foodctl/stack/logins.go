package stack

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// login is a program's way into the database: it may do what its group may, and no more.
type login struct {
	name     string
	password string
	group    string // a role that the migrations make
	extra    string // attributes, which are not inherited from a group
}

// logins of one system. Their passwords are made anew at each start and are nowhere but in memory and in the programs'
// environments.
type logins struct {
	writer, relay, projector login
}

func newLogins(prefix string) logins {
	return logins{
		writer:    login{prefix + "_orderservice", rand.Text(), "orders_writer", ""},
		relay:     login{prefix + "_relay", rand.Text(), "orders_relay", "REPLICATION"},
		projector: login{prefix + "_projector", rand.Text(), "readmodel_projector", ""},
	}
}

func (l logins) all() []login { return []login{l.writer, l.relay, l.projector} }

// ensure makes the login or gives it its new password. The server is sent a verifier: the password itself cannot end up
// in its log.
func (l login) ensure(ctx context.Context, conn *pgx.Conn) error {
	name, group := pgx.Identifier{l.name}.Sanitize(), pgx.Identifier{l.group}.Sanitize()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, l.name).Scan(&exists); err != nil {
		return fmt.Errorf("login %s: %w", l.name, err)
	}
	verb := "CREATE"
	if exists {
		verb = "ALTER"
	}
	secret, err := verifier(l.password)
	if err != nil {
		return fmt.Errorf("login %s: %w", l.name, err)
	}
	for _, statement := range []string{
		fmt.Sprintf("%s ROLE %s LOGIN %s PASSWORD '%s'", verb, name, l.extra, secret),
		fmt.Sprintf("GRANT %s TO %s", group, name),
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("login %s: %w", l.name, err)
		}
	}
	return nil
}

const iterations = 4096 // what Postgres itself uses (scram_iterations)

// verifier is what Postgres keeps of a password: RFC 5803, with SCRAM-SHA-256 of RFC 7677. The passwords here are ASCII,
// so they need no normalisation.
func verifier(password string) (string, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
