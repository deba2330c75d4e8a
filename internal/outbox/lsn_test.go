package outbox

import (
	"encoding/json"
	"testing"
)

func TestLSNIsWrittenAsPostgresDoes(t *testing.T) {
	t.Parallel()
	for lsn, want := range map[LSN]string{
		0:                  "0/0",
		1:                  "0/1",
		0x16_B374D848:      "16/B374D848",
		0x1_00000000:       "1/0",
		0xFFFFFFFFFFFFFFFF: "FFFFFFFF/FFFFFFFF",
	} {
		if got := lsn.String(); got != want {
			t.Errorf("%d: got %s, want %s", uint64(lsn), got, want)
		}
		if got, err := ParseLSN(want); got != lsn || err != nil {
			t.Errorf("%s: got %d, %v", want, uint64(got), err)
		}
	}
	if got, err := ParseLSN("16/0374d848"); got != 0x16_0374D848 || err != nil { // as later versions print it, and by hand
		t.Errorf("got %s, %v", got, err)
	}
}

func TestMalformedLSNIsRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "/", "16", "16/", "/1", "G/0", "1/2/3", "+1/1", "1/-1", "1 /1", "0x1/1", "100000000/0", "0/100000000"} {
		if got, err := ParseLSN(s); err == nil {
			t.Errorf("%q: got %s", s, got)
		}
	}
}

func TestLSNIsTextInJSON(t *testing.T) {
	t.Parallel()
	want := map[string]LSN{"end_lsn": 0x16_B374D848}
	b, err := json.Marshal(want)
	if err != nil || string(b) != `{"end_lsn":"16/B374D848"}` {
		t.Fatalf("got %s, %v", b, err)
	}
	var got map[string]LSN
	if err := json.Unmarshal(b, &got); err != nil || got["end_lsn"] != want["end_lsn"] {
		t.Errorf("got %v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"end_lsn":"16"}`), &got); err == nil {
		t.Error("half a position was accepted")
	}
}

func FuzzParseLSN(f *testing.F) {
	f.Add("16/B374D848")
	f.Add("0/0")
	f.Add("1//1")
	f.Fuzz(func(t *testing.T, s string) {
		lsn, err := ParseLSN(s)
		if err != nil {
			return
		}
		if again, err := ParseLSN(lsn.String()); again != lsn || err != nil {
			t.Errorf("%q is %s, which is %s, %v", s, lsn, again, err)
		}
	})
}
