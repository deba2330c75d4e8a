package auth

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

// Guard stands before all that a listener serves. Its zero value lets everybody in and speaks plain HTTP, as is right on the loopback.
type Guard struct {
	log         *slog.Logger
	tokens      *reread[tokens]           // nil: no token is asked for
	certificate *reread[*tls.Certificate] // nil: no TLS

	unknown, unfit atomic.Uint64 // requests refused for want of a token, or of its scope
}

// maxStream bounds a request that was let in by a token: who follows changes shows it again from time to time.
const maxStream = 15 * time.Minute

// Protect puts the guard before all that a server answers, before it is served.
func (g *Guard) Protect(s *http.Server) {
	s.Handler = g.wrap(s.Handler)
	s.DisableGeneralOptionsHandler = true // it would answer "OPTIONS *" by itself
	s.TLSConfig = g.tls()
	s.Protocols = new(http.Protocols) // net/http offers HTTP/2 over TLS also where it is built without, as in the image
	s.Protocols.SetHTTP1(true)
	if g.log != nil { // what net/http has to say is mostly of clients that speak no TLS, or none that is taken
		s.ErrorLog = slog.NewLogLogger(g.log.Handler(), slog.LevelInfo)
	}
}

// wrap lets only requests through to h whose token allows them.
func (g *Guard) wrap(h http.Handler) http.Handler {
	if g.tokens == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if healthCheck(r) {
			h.ServeHTTP(w, r)
			return
		}
		caller, no := g.admit(r)
		if no != nil {
			g.refuse(w, r, no)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), callerKey{}, caller), maxStream)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// refusal is why a request is not let in.
type refusal struct {
	kind   edge.Kind
	need   Scope
	code   string // of RFC 6750, section 3.1; "" where nothing was shown
	detail string
}

// admit names the token that lets a request in, or says why none does.
func (g *Guard) admit(r *http.Request) (caller string, no *refusal) {
	need := needed(r)
	presented, by := credentials(r)
	t, known := g.tokens.now().find(presented)
	switch {
	case by == "":
		return "", &refusal{edge.Unauthenticated, need, "", fmt.Sprintf("a token is needed, with the scope %s: Authorization: Bearer TOKEN", need)}
	case by == basic && need > Read:
		return "", &refusal{edge.Unauthenticated, need, "invalid_token", "Basic opens what takes read alone: a browser sends it by itself, for any site's page. This takes Authorization: Bearer TOKEN"}
	case !known:
		return "", &refusal{edge.Unauthenticated, need, "invalid_token", "the token is none of the token file's: ask whoever keeps that file for one (foodctl token makes it)"}
	case t.scope < need:
		return "", &refusal{edge.InsufficientScope, need, "insufficient_scope", fmt.Sprintf("the token %s has the scope %s; this takes %s", t.name, t.scope, need)}
	}
	return t.name, nil
}

// healthCheck says whether a request is one of the two that a supervisor makes, who has no token. Only the very path counts:
// what a mux would make of another one is not asked.
func healthCheck(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.URL.Path == "/livez" || r.URL.Path == "/readyz")
}

// harmful is below what the method does not tell: profiles cost processor time and show what is in memory, and faults are faults.
var harmful = []string{"/debug/", "/api/chaos/"}

// personal is where names and addresses are shown.
const personal = "/v1/customers/"

// needed is the scope that a request takes. It goes by the method, so that an endpoint which is added has one.
func needed(r *http.Request) Scope {
	for _, prefix := range harmful {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return Admin
		}
	}
	if id, is := strings.CutPrefix(r.URL.Path, personal); is && !strings.Contains(id, "/") {
		return Admin
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return Read
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return Command
	default: // DELETE, and what nobody has thought of
		return Admin
	}
}

// The schemes in which a token comes: RFC 6750's, and RFC 7617's, whose password it is, under any name. A browser has a form for the
// second and sends it with all that a page asks for, EventSource included. A token in a URL would be in logs and histories: it is
// not looked for there.
const (
	bearer = "Bearer"
	basic  = "Basic"
)

// credentials returns the token that a request shows, and in which scheme, "" for none.
func credentials(r *http.Request) (presented, by string) {
	if _, password, is := r.BasicAuth(); is {
		return password, basic
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, bearer) {
		return strings.TrimSpace(rest), bearer
	}
	return "", ""
}

// refuse answers with a problem and with what would be taken (RFC 6750, section 3).
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, no *refusal) {
	id := edge.Begin(w)
	challenge := fmt.Sprintf(`%s realm=%q, scope=%q`, bearer, realm, no.need)
	if no.code != "" {
		challenge += fmt.Sprintf(", error=%q", no.code)
	}
	w.Header().Add("WWW-Authenticate", challenge)
	if no.kind.Status == http.StatusUnauthorized && no.need == Read {
		w.Header().Add("WWW-Authenticate", fmt.Sprintf(`%s realm=%q, charset="UTF-8"`, basic, realm))
	}
	g.count(no.kind.Status)
	g.log.Debug("request refused", "request_id", id, "method", r.Method, "path", r.URL.Path, "status", no.kind.Status)
	edge.Refuse(w, no.kind, no.kind.Document(no.detail, id))
}

const realm = "foodpipeline"

type callerKey struct{}

// Caller is the name of the token that a request was let in by, "" where none was asked for.
func Caller(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}

// URL is where a listener behind the guard is reached.
func (g *Guard) URL(at net.Addr) string {
	if g.certificate != nil {
		return "https://" + at.String()
	}
	return "http://" + at.String()
}

// Announce tells the log if whoever reaches the address may ask everything. It is no warning: in containers and pods the programs
// listen so, in a network of their own.
func (g *Guard) Announce(at net.Addr) {
	tcp, is := at.(*net.TCPAddr)
	if g.log == nil || g.tokens != nil || is && tcp.IP.IsLoopback() {
		return
	}
	g.log.Info("no token is asked for", "listen", at.String())
}
