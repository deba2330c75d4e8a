// Package contracts has the schemas of the events as they are committed here, for programs that hand them on.
package contracts

import (
	"embed"
	"io/fs"
)

//go:embed *.json
var files embed.FS

// Schemas has a file <type>.json for each type of event, in each version that was ever written.
func Schemas() fs.FS { return files }
