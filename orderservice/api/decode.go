package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxBody is how long a request's body may be, in bytes. The largest valid one, an order of order.MaxLines lines, has 3 kB.
const maxBody = 64 << 10

// maxDepth is how many objects and arrays may be within each other in a body. The deepest valid one has three.
const maxDepth = 8

// maxNames is how many fields or items an object or array may have. An order has order.MaxLines lines.
const maxNames = 256

// understood holds a request to what is the same for all of them, whatever is asked: its query says each thing once, and
// its body is one JSON object. What the object's fields may be is said by the types that huma decodes it into.
func understood(w http.ResponseWriter, r *http.Request) error {
	if err := queried(r.URL.RawQuery); err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return nil
	}
	body, err := read(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	if len(body) == 0 {
		body = []byte("{}") // for commands without fields, which is most of them
	} else if body, err = decodable(r.Header.Get("Content-Type"), body); err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json") // whatever it was called: huma knows no other spelling
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// queried wants a query in which each parameter has one value, and some: which of two is meant is not for us to guess.
func queried(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return refused("", "query", "the query is not encoded as application/x-www-form-urlencoded")
	}
	for name, values := range query {
		if len(values) != 1 || values[0] == "" {
			return refused("", "query", fmt.Sprintf("query parameter %q is to have one value", name))
		}
	}
	return nil
}

func read(from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(from)
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

// decodable wants a body that every JSON decoder reads in the same way (RFC 8259 sections 4 and 8.1), and returns it as ours does.
func decodable(contentType string, body []byte) ([]byte, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(parameters["charset"])
	if err != nil || media != "application/json" || (charset != "" && charset != "utf-8") {
		return nil, &problem{kind: mediaType, detail: fmt.Sprintf("Content-Type is %q, want application/json", contentType)}
	}
	if !utf8.Valid(body) {
		return nil, refused("", "text", "the body is not UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil, refused("", "type", "the body is not a JSON object")
	}
	return unambiguous(body)
}

// unambiguous wants one JSON object of bounded depth and width, and no object in it that has a name twice: decoders differ in which
// of the two they take. They differ in what half a surrogate pair is, too (RFC 8259 section 8.2), and in numbers: it returns the object
// with its whole numbers as digits.
func unambiguous(body []byte) ([]byte, error) {
	var written []byte // the object up to copied, if anything had to be written otherwise
	copied := 0
	decoder := jsontext.NewDecoder(bytes.NewBuffer(body))
	for depth := -1; depth != 0; depth = decoder.StackDepth() {
		token, err := decoder.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		if err := bounded(decoder); err != nil {
			return nil, err
		}
		if token.Kind() != jsontext.KindNumber {
			continue
		}
		number := token.String()
		digits, ok := whole(number)
		if !ok {
			return nil, refused(fragment(decoder.StackPointer()), "number", "the number is too large")
		}
		if digits != number {
			end := int(decoder.InputOffset())
			written = append(append(written, body[copied:end-len(number)]...), digits...)
			copied = end
		}
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, refused("", "syntax", "something follows the JSON object")
	}
	return append(written, body[copied:]...), nil
}

// bounded holds the objects and arrays that a decoder is in to their bounds.
func bounded(decoder *jsontext.Decoder) error {
	depth := decoder.StackDepth()
	kind, length := decoder.StackIndex(depth)
	if kind == jsontext.KindBeginObject {
		length = (length + 1) / 2 // a field's name and its value count as two
	}
	switch {
	case depth > maxDepth:
		return refused("", "depth", fmt.Sprintf("more than %d objects and arrays lie within each other", maxDepth))
	case length > maxNames:
		within := decoder.StackPointer().Parent()
		return refused(fragment(within), "too_long", fmt.Sprintf("more than %d fields or items in one object or array", maxNames))
	default:
		return nil
	}
}

// whole writes a whole number in digits: 1e2 and 100.0 are integers to a JSON Schema, and none to Go's decoder. Other numbers are
// returned as they are. It returns false for one that no double holds (RFC 8259 section 6).
func whole(number string) (digits string, ok bool) {
	value, err := strconv.ParseFloat(number, 64)
	if err == nil && value == math.Trunc(value) && math.Abs(value) <= exact && strings.ContainsAny(number, ".eE") {
		return strconv.FormatFloat(value+0, 'f', 0, 64), true // 0 is added to -0.0, which is 0
	}
	return number, err == nil
}

// exact is up to where a double holds each whole number.
const exact = 1 << 53

func notJSON(err error) error {
	wrong, is := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return refused(fragment(wrong.JSONPointer), "duplicate", fmt.Sprintf("the object has the name %q twice", wrong.JSONPointer.LastToken()))
	case is:
		return refused("", "syntax", fmt.Sprintf("the body is not valid JSON: %s, at byte %d", strings.TrimPrefix(wrong.Err.Error(), "jsontext: "), wrong.ByteOffset))
	default:
		return refused("", "syntax", "the body is not valid JSON: "+err.Error())
	}
}

// fragment is a pointer as a URI fragment.
func fragment(p jsontext.Pointer) string { return pointerTo(slices.Collect(p.Tokens())) }

// pointerTo is the JSON pointer (RFC 6901), as a URI fragment, of what lies under names.
func pointerTo(names []string) string {
	var pointer strings.Builder
	pointer.WriteByte('#')
	for _, name := range names {
		pointer.WriteString("/" + url.PathEscape(escape.Replace(name)))
	}
	return pointer.String()
}

var escape = strings.NewReplacer("~", "~0", "/", "~1")

// refused is a request that cannot be understood.
func refused(pointer, rule, detail string) *problem {
	return &problem{kind: malformed, detail: detail, errors: []violation{{Pointer: pointer, Rule: rule, Detail: detail}}}
}
