package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"
)

// decode reads the request's body, one JSON object, into target. A field that target does not have is an error: a
// misspelt one would otherwise be taken for absent. No body at all is the empty object, for commands without fields.
func decode(r *http.Request, target any) error {
	body, err := read(r)
	if err != nil || len(body) == 0 {
		return err
	}
	media, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(parameters["charset"])
	if err != nil || media != "application/json" || (charset != "" && charset != "utf-8") {
		return &problem{kind: mediaType, detail: fmt.Sprintf("Content-Type is %q, want application/json", r.Header.Get("Content-Type"))}
	}
	if !utf8.Valid(body) {
		return refused("", "text", "the body is not UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return refused("", "type", "the body is not a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(target); err != nil {
		return syntax(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return refused("", "syntax", "something follows the JSON object")
	}
	return nil
}

func read(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return nil, &problem{kind: tooLarge, detail: fmt.Sprintf("the body is longer than %d bytes", maxBody)}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, refused("", "slow", "the body did not arrive in time")
	}
	if err != nil {
		return nil, refused("", "cut_off", "the body ended before its end")
	}
	return body, nil
}

// syntax tells what the JSON decoder found. Its errors are about the input, not about us, except for their wording.
func syntax(err error) error {
	if wrong, typed := errors.AsType[*json.UnmarshalTypeError](err); typed {
		return refused(typePointer(wrong.Field), "type", fmt.Sprintf("a JSON %s does not fit here (byte %d)", wrong.Value, wrong.Offset))
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return refused("", "unknown_field", "there is no field "+name)
	}
	return refused("", "syntax", "the body is not valid JSON: "+strings.TrimPrefix(err.Error(), "json: "))
}

// typePointer leads to the field of a wrong type. The decoder leaves out indices, so within an array only the array is
// known.
func typePointer(field string) string {
	switch {
	case field == "":
		return ""
	case strings.HasPrefix(field, "lines."):
		return "#/lines"
	default:
		return pointer(field)
	}
}

// refused is a request that cannot be understood.
func refused(pointer, rule, detail string) *problem {
	return &problem{kind: malformed, detail: detail, errors: []violation{{Pointer: pointer, Rule: rule, Detail: detail}}}
}
