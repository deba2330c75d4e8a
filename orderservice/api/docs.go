package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/swaggest/swgui/v5/static"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

//go:embed docs
var files embed.FS

// policy lets the page load and ask nothing but this server. Swagger UI sets styles in its markup and has pictures in its
// style sheet.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// registerDocs serves the OpenAPI document of the operations that were registered before, and Swagger UI over it, which is
// in the binary.
func (a *api) registerDocs() {
	document, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		panic(fmt.Sprintf("encode the OpenAPI document: %v", err)) // of types that are the same at each start
	}
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		edge.Begin(w)
		w.Header().Set("Content-Type", "application/json")
		edge.Send(w, http.StatusOK, bytes.NewBuffer(document))
	})
	a.mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) { sendFile(w, "page.html", files, "docs/page.html") })
	a.mux.HandleFunc("GET /docs/page.js", func(w http.ResponseWriter, _ *http.Request) { sendFile(w, "page.js", files, "docs/page.js") })
	for _, name := range []string{"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"} {
		file := name
		if path.Ext(name) != ".png" {
			file += ".gz"
		}
		a.mux.HandleFunc("GET /docs/"+name, func(w http.ResponseWriter, _ *http.Request) { sendFile(w, name, static.FS, file) })
	}
}

// sendFile sends one of the files that are in the binary. One that is compressed there is so for every client: all
// browsers take that, and a program has nothing to do with it.
func sendFile(w http.ResponseWriter, name string, from fs.FS, file string) {
	content, err := fs.ReadFile(from, file)
	if err != nil {
		panic(err) // it was there when the program was built
	}
	edge.Begin(w)
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Content-Security-Policy", policy)
	if path.Ext(file) == ".gz" {
		w.Header().Set("Content-Encoding", "gzip")
	}
	edge.Send(w, http.StatusOK, bytes.NewBuffer(content))
}
