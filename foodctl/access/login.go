// Package access makes databases, and the logins by which the programs reach them and Kafka.
//
// It promises that running it again changes nothing but passwords, and that no password is sent to a server, in whose
// log it could end up. The roles that the databases' logins are members of are the migrations'; the rights of Kafka's
// are here.
package access

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const duplicateDatabase = "42P04" // SQLSTATE

// CreateDatabase makes the database unless it is there. It looks first, or each call in vain would be an error in the
// server's log.
func CreateDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil {
		return fmt.Errorf("look for database %s: %w", name, err)
	}
	if exists {
		return nil
	}
	_, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	if e, is := errors.AsType[*pgconn.PgError](err); is && e.Code == duplicateDatabase {
		return nil // another was quicker
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// Login is a program's way into the database: it may do what its group may, and no more.
type Login struct {
	Name       string
	Password   string
	Group      string // a role
	Attributes string // which are not inherited from a group
}

// Ensure makes the login, or gives the one that is there its password. The server is sent a verifier.
func (l Login) Ensure(ctx context.Context, conn *pgx.Conn) error {
	name, group := pgx.Identifier{l.Name}.Sanitize(), pgx.Identifier{l.Group}.Sanitize()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, l.Name).Scan(&exists); err != nil {
		return fmt.Errorf("login %s: %w", l.Name, err)
	}
	verb := "CREATE"
	if exists {
		verb = "ALTER"
	}
	secret, err := verifier(l.Password)
	if err != nil {
		return fmt.Errorf("login %s: %w", l.Name, err)
	}
	for _, statement := range []string{
		fmt.Sprintf("%s ROLE %s LOGIN %s PASSWORD '%s'", verb, name, l.Attributes, secret),
		fmt.Sprintf("GRANT %s TO %s", group, name),
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("login %s: %w", l.Name, err)
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
