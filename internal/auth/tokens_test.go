package auth

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func TestATokenFileIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	text, line, err := NewToken("a.b-c_9", Command)
	if err != nil {
		t.Fatal(err)
	}
	ts, err := parseTokens([][]byte{[]byte("# all\n\n  \t" + line + " # of the till\r\n")})
	if err != nil || len(ts) != 1 {
		t.Fatalf("%v, %v", ts, err)
	}
	if got := ts[0].String(); got != line {
		t.Errorf("got %q, want %q", got, line)
	}
	found, known := ts.find(text)
	if !known || found.name != "a.b-c_9" || found.scope != Command {
		t.Errorf("the token is found as %v, %v", found, known)
	}
	for _, other := range []string{"", text[1:], text + " ", line, strings.Fields(line)[2]} {
		if _, known := ts.find(other); known {
			t.Errorf("%q opens", other)
		}
	}
	again, _, _ := NewToken("a", Read)
	if len(text) != 64 || again == text {
		t.Errorf("tokens %q and %q: want 256 bits of their own each", text, again)
	}
	if strings.Contains(line, text) {
		t.Error("the line holds the token")
	}
}

// secret stands in for a token that was written where it does not belong.
const secret = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"

func TestABadTokenFileIsNamedByItsLineAndShowsNothing(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		"a read " + sum + "\nb reed " + sum:                                   "line 2: want the scope read, command or admin",
		"a " + secret + " " + sum:                                             "line 1: want the scope",
		secret + secret + " read " + sum:                                      "line 1: want a name of",
		"A read " + sum:                                                       "line 1: want a name of",
		"\n\na read":                                                          "line 3: want NAME SCOPE SHA256, which foodctl token prints, and there are 2 fields",
		"a read,command read " + sum:                                          "there are 4 fields",
		"a read " + secret[1:]:                                                "line 1: the third field is no SHA-256, 64 digits in hex",
		"a read " + secret[:62] + "zz":                                        "line 1: the third field is no SHA-256",
		fmt.Sprintf("a read %x", sha256.Sum256(nil)):                          "line 1: the third field is the SHA-256 of nothing",
		"a read " + sum + "\n# b\na admin " + secret:                          "line 3: another line has the same name",
		"a read " + sum + "\nb admin " + strings.ToUpper(sum):                 "line 2: another line has the same token",
		fmt.Sprintf("a read %s\nb none %s", strings.Repeat("cd", 32), secret): "line 2: want the scope",
	} {
		ts, err := parseTokens([][]byte{[]byte(text)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want %q", text, ts, err, want)
		} else if strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%q: the error shows what is in the file: %v", text, err)
		}
	}
	for _, bad := range []string{"", "A", "a b", "-a", strings.Repeat("a", 65)} {
		if _, _, err := NewToken(bad, Read); err == nil {
			t.Errorf("%q is taken for a name", bad)
		}
	}
}

func FuzzTokenFile(f *testing.F) {
	f.Add("a read " + strings.Repeat("ab", 32) + "\n")
	f.Add("# nothing\n\n a\tcommand " + strings.Repeat("00", 32) + "#")
	f.Fuzz(func(t *testing.T, text string) {
		ts, err := parseTokens([][]byte{[]byte(text)})
		if err != nil {
			return
		}
		var again strings.Builder
		for _, token := range ts {
			fmt.Fprintln(&again, token)
		}
		back, err := parseTokens([][]byte{[]byte(again.String())})
		if err != nil || fmt.Sprint(back) != fmt.Sprint(ts) {
			t.Errorf("%q: read as %v, written and read again as %v, %v", text, ts, back, err)
		}
	})
}
