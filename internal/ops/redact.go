package ops

import (
	"net/url"
	"regexp"
	"strings"
)

const hidden = "xxxxx" // what url.URL.Redacted uses

// secretPair finds password=... and sslpassword=... in a keyword/value connection string (libpq, section 34.1.1.1).
var secretPair = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&]+)`)

// Redact hides the password of a connection string, a URL or libpq's keyword=value form, so that it may be shown. Of a URL
// that cannot be parsed, or whose password holds an unescaped /, ? or #, only the scheme is kept: where the password
// begins and ends is anyone's guess.
func Redact(conn string) string {
	scheme, _, isURL := strings.Cut(conn, "://")
	if !isURL || strings.ContainsAny(scheme, " =") {
		return secretPair.ReplaceAllString(conn, "${1}"+hidden)
	}
	u, err := url.Parse(conn)
	if err != nil || strings.Contains(u.Opaque+u.Host+u.Path+u.RawQuery+u.Fragment, "@") {
		return scheme + "://" + hidden
	}
	query := u.Query()
	for name := range query {
		if strings.Contains(strings.ToLower(name), "password") {
			query.Set(name, hidden)
			u.RawQuery = query.Encode()
		}
	}
	return u.Redacted()
}

// Ambiguous says whether a database URL has a character in its password that should have been percent-encoded, so that a
// part of the password is taken for the host's or the database's name, and would be shown as such.
func Ambiguous(conn string) bool {
	u, err := url.Parse(conn)
	return err == nil && u.Scheme != "" && (strings.Contains(u.Path, "@") || strings.Contains(u.Fragment, "@") || strings.Contains(u.RawQuery, "@"))
}
