package api

import (
	"context"
	"fmt"
)

// Page is how much of a list is asked for. A list is ordered by a key, and its pages begin behind one: what is added or
// taken away meanwhile neither repeats nor hides anything else. It is exported for huma, which looks into no other struct.
type Page struct {
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many."`
}

// next is the Link header (RFC 8288) to the page behind a key.
func (p Page) next(ctx context.Context, key int64) string {
	return fmt.Sprintf("<%s?after=%d&limit=%d>; rel=\"next\"", exchangeOf(ctx).request.URL.EscapedPath(), key, p.Limit)
}
