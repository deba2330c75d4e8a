package ops

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

func parse(t *testing.T, args ...string) (Flags, error) {
	t.Helper()
	var flags Flags
	parser, err := kong.New(&flags, kong.Vars{"listen_env": "OPS_TEST_LISTEN", "listen": "127.0.0.1:7999"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return flags, err
}

func TestFlagsHaveDefaultsAndTellBadValues(t *testing.T) {
	t.Parallel()
	flags, err := parse(t)
	if err != nil || flags.Listen != "127.0.0.1:7999" || flags.LogFormat != "auto" || flags.LogLevel != 0 {
		t.Errorf("got %+v and %v, want the defaults", flags, err)
	}
	for _, bad := range []string{"--log-level=loud", "--log-format=xml"} {
		name, _, _ := strings.Cut(bad, "=")
		if _, err := parse(t, bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got error %v, want one that names the flag", bad, err)
		}
	}
}

func TestExitMapsAnErrorToOneLineAndACode(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	for _, c := range []struct {
		name string
		err  error
		code int
		line string
	}{
		{"nothing", nil, 0, ""},
		{"plain", plain, 1, "error: plain\n"},
		{"code", fmt.Errorf("verify: %w", &ExitError{Code: 2, Err: plain}), 2, "error: verify: plain\n"},
		{"silent", &ExitError{Code: 3}, 3, ""},
		{"joined", errors.Join(plain, plain), 1, "error: plain; plain\n"},
	} {
		var out bytes.Buffer
		if code := Exit(c.err, &out); code != c.code || out.String() != c.line {
			t.Errorf("%s: got %d and %q, want %d and %q", c.name, code, out.String(), c.code, c.line)
		}
	}
	if !errors.Is(&ExitError{Code: 2, Err: plain}, plain) {
		t.Error("an ExitError hides its cause from errors.Is")
	}
}

func TestRedactLeavesNoPassword(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"postgres://app:s3cret@db:5432/orders?sslmode=disable": "postgres://app:xxxxx@db:5432/orders?sslmode=disable",
		"postgres://db/orders?user=app&password=s3cret":        "postgres://db/orders?password=xxxxx&user=app",
		"postgres://app@db/orders":                             "postgres://app@db/orders",
		"postgres://app:s3cret@db:54x2/orders":                 "postgres://xxxxx",
		"postgres://app:1/s3cret@db/orders":                    "postgres://xxxxx",
		"host=db password=s3cret user=app":                     "host=db password=xxxxx user=app",
		`host=db PASSWORD = 's3cret \' s3cret' user=app`:       "host=db PASSWORD = xxxxx user=app",
		"host=db sslpassword=s3cret options=a://b":             "host=db sslpassword=xxxxx options=a://b",
		"127.0.0.1:9092,127.0.0.1:9093":                        "127.0.0.1:9092,127.0.0.1:9093",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzRedactHidesTheURLsPassword(f *testing.F) {
	f.Add("app", "db:5432/orders?sslmode=disable")
	f.Add("a/b", "[::1]/x?password=y")
	f.Fuzz(func(t *testing.T, user, rest string) {
		const secret = "t0p-s3cret-t0p"
		if got := Redact("postgres://" + user + ":" + secret + "@" + rest); strings.Contains(got, secret) {
			t.Errorf("the password shows in %q", got)
		}
	})
}
