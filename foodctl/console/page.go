package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// csp lets the page have what it comes with, and speak with where it came from, and nothing else.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// view is what the page is made of.
type view struct {
	Snapshot Snapshot
	Chaos    bool     // whether the page has controls to break things
	Targets  []string // with Chaos: what can be killed, paused and cut off, by name
	Version  string
}

//go:embed page.html
var pageHTML string

//go:embed static
var static embed.FS

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"cuttable": cuttable,
	"plain":    plain,
	"stations": func() []station { return stations },
	"zeros":    Audit.counts,
}).Parse(pageHTML))

// station is a node of the pipe.
type station struct {
	ID    string // of its elements
	Title string
	Unit  string // of its count
	Rate  string // what its rate is called
}

// stations are an event's way, in order.
var stations = []station{
	{"api", "API", "orders", "orders"},
	{"outbox", "Outbox", "written", "written"},
	{"relay", "Relay", "published", "published"},
	{"topic", "food-orders", "", "topic"},
	{"projectors", "Projectors", "projected", "projected"},
	{"read_model", "Read model", "applied", "applied"},
}

// cuttable says whether a target is a relay: only those can be cut off from Kafka.
func cuttable(target string) bool { return strings.HasPrefix(target, "relay") }

// renderPage writes the page: its frame, the snapshot as data for the first paint, and the same as a table for browsers
// without scripts. Nothing is written if it fails.
func renderPage(w io.Writer, v view) error {
	var whole bytes.Buffer
	if err := page.Execute(&whole, v); err != nil {
		return fmt.Errorf("render the page: %w", err)
	}
	_, err := whole.WriteTo(w)
	return err
}

// contentTypes are ours: what the system's tables say of them differs.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	"":     "text/plain; charset=utf-8",
}

// staticFiles serves what the page refers to below /static/. A browser asks each time whether its copy is still good: a
// page and the scripts of another version would not fit.
func staticFiles() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, has := assets()[strings.TrimPrefix(r.URL.Path, "/")]
		if !has {
			http.NotFound(w, r)
			return
		}
		header := w.Header()
		header.Set("Content-Type", file.contentType)
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", file.etag)
		header.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.content))
	})
}

// asset is a file below static.
type asset struct {
	content     []byte
	contentType string
	etag        string
}

// assets are the embedded files by their path.
var assets = sync.OnceValue(func() map[string]asset {
	all := make(map[string]asset)
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := static.ReadFile(name)
		all[name] = asset{content, contentTypes[path.Ext(name)], fmt.Sprintf(`"%.12x"`, sha256.Sum256(content))}
		return err
	})
	if err != nil {
		panic(err) // what is embedded can be read
	}
	return all
})
