package stack

import (
	"slices"
	"strings"
)

// withheld are the variables of this process that are for nobody else: flags of the programs, which are given theirs by
// name, and the addresses and passwords of servers, which may be a superuser's.
var withheld = []string{
	"DATABASE_URL", "TEST_DATABASE_URL", "ORDERS_DATABASE_URL", "READMODEL_DATABASE_URL", "PGPASSWORD", "DATABASE_PASSWORD_FILE",
	"TOPIC", "MEMBERS", "GENERATE", "RATE", "ORDERS", "RUN", "SEED", "WRITERS", "CANCEL_RATE", "REFUND_RATE", "FAILURE_RATE",
	"LOG_FORMAT", "TOKEN_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE", "BEARER_TOKEN_FILE", "HTTP_CA_FILE",
}

// withheldPrefixes are the same for variables that name their program.
var withheldPrefixes = []string{"KAFKA_", "RELAY_", "PROJECTOR_", "QUERY_", "ORDERSERVICE_", "FOODCTL_", "VERIFY_", "CONSOLE_"}

// Inherited is what of an environment a program inherits: all but what is withheld. LOG_LEVEL is meant for all.
func Inherited(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(withheld, name) ||
			slices.ContainsFunc(withheldPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
}
