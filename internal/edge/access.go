package edge

import "net/http"

// The problems of who may ask, which package auth finds before an API sees the request.
var (
	Unauthenticated   = Lasting("unauthenticated", http.StatusUnauthorized, "No valid token", "Send Authorization: Bearer TOKEN, with a token of the program's --token-file. Who runs the program gives one out: foodctl token.")
	InsufficientScope = Lasting("insufficient-scope", http.StatusForbidden, "The token does not allow it", "Use a token with the scope that the detail names. Who runs the program gives one out: foodctl token.")
)
