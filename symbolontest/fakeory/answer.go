package fakeory

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// answer is a whole response. The zero value closes the connection without a response.
type answer struct {
	status int
	header http.Header
	body   []byte
	cut    int  // the body is this many bytes shorter than Content-Length
	bare   bool // no Cache-Control header in either generation
	asIs   bool // the answer of a Lying fault: no header of Ory is added
}

// errorBody is an error as Ory encodes it, with Ory's order of the keys.
type errorBody struct {
	ID      string         `json:"id,omitempty"`
	Code    int            `json:"code"`
	Status  string         `json:"status"`
	Reason  string         `json:"reason,omitempty"`
	Details map[string]any `json:"details,omitempty"`
	Message string         `json:"message"`
}

const (
	jsonUTF8   = "application/json; charset=utf-8"
	noStore    = "private, no-cache, no-store, must-revalidate"
	badRequest = "The request was malformed or contained invalid parameters"
	takenBody  = "Unable to insert or update resource because a resource with that value exists already"
)

func encode(v any) []byte {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic("fakeory: " + err.Error()) // our own types can be encoded
	}
	return b.Bytes()
}

func good(status int, v any) answer {
	return answer{status: status, header: http.Header{"Content-Type": {jsonUTF8}}, body: encode(v)}
}

// failed returns an error answer. In Ory the HTTP status and the code in the body often
// differ.
func failed(status int, e errorBody) answer {
	if e.Code == 0 {
		e.Code = status
	}
	if e.Status == "" {
		e.Status = http.StatusText(e.Code)
	}
	return answer{status: status, body: encode(map[string]any{"error": e}), header: http.Header{
		"Content-Type": {"application/json"}, "Ory-Error-Id": {e.ID}}}
}

func notFound() answer {
	return failed(http.StatusNotFound, errorBody{Message: "Unable to locate the resource"})
}

func invalid(reason string) answer {
	return failed(http.StatusBadRequest, errorBody{Reason: reason, Message: badRequest})
}

func internal(message string) answer {
	return failed(http.StatusInternalServerError, errorBody{Message: message})
}

func noContent() answer { return answer{status: http.StatusNoContent, header: http.Header{}} }

func redirect(target string) answer {
	body := "<a href=\"" + strings.ReplaceAll(target, "&", "&amp;") + "\">Temporary Redirect</a>.\n\n"
	return answer{status: http.StatusTemporaryRedirect, body: []byte(body), header: http.Header{
		"Content-Type": {"text/html; charset=utf-8"}, "Location": {target}}}
}

// plain404 is the answer of Kratos' router for an unknown path.
func plain404() answer {
	return answer{status: http.StatusNotFound, bare: true, body: []byte("404 page not found\n"), header: http.Header{
		"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}}
}

// handler answers a request whose body was read into memory.
type handler func(r *http.Request) answer

func (o *Ory) handle(mux *http.ServeMux, admin bool, pattern string, h handler) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		noted, err := o.record(admin, r)
		if err != nil {
			panic(http.ErrAbortHandler) // the client closed the connection
		}
		a := o.underFaults(admin, r, h)
		if a.status == 0 {
			panic(http.ErrAbortHandler)
		}
		o.answered(noted, a.status)
		o.write(w, r, admin, a)
	})
}

func (o *Ory) write(w http.ResponseWriter, r *http.Request, admin bool, a answer) {
	header := w.Header()
	for name, values := range a.header {
		header[name] = values
	}
	if !a.asIs {
		o.addHeaders(header, r, admin, a)
	}
	if a.status != http.StatusNoContent {
		header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body[:max(0, len(a.body)-a.cut)])
	if a.cut > 0 {
		_ = http.NewResponseController(w).Flush() // without a flush the client gets no header and sends the request again
		panic(http.ErrAbortHandler)
	}
}

// addHeaders adds the headers that depend on the generation.
func (o *Ory) addHeaders(header http.Header, r *http.Request, admin bool, a answer) {
	health := strings.HasPrefix(r.URL.Path, "/health/")
	if o.config.Generation == V1 {
		header.Del("Ory-Error-Id")
		a.bare = a.bare || health && !admin
	} else {
		a.bare = a.bare || r.Method != http.MethodGet
	}
	if !a.bare {
		header.Set("Cache-Control", noStore)
	}
	if !admin && !health {
		header.Set("Vary", "Cookie")
	}
}

func (o *Ory) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /admin/identities":                  o.listIdentities,
		"POST /admin/identities":                 o.createIdentity,
		"PATCH /admin/identities":                o.importIdentities,
		"GET /admin/identities/{id}":             o.getIdentity,
		"PUT /admin/identities/{id}":             o.putIdentity,
		"PATCH /admin/identities/{id}":           o.patchIdentity,
		"DELETE /admin/identities/{id}":          o.deleteIdentity,
		"GET /admin/identities/{id}/sessions":    o.sessionsOf,
		"DELETE /admin/identities/{id}/sessions": o.deleteSessionsOf,
		"GET /admin/sessions":                    o.listSessions,
		"GET /admin/sessions/{id}":               o.getSession,
		"DELETE /admin/sessions/{id}":            o.revokeSession,
		"GET /admin/health/ready":                o.ready,
		"GET /admin/health/alive":                alive,
		"GET /admin/version":                     version,
		"/":                                      o.otherAdmin,
	} {
		o.handle(mux, true, pattern, h)
	}
	if o.config.Generation == V26 {
		o.handle(mux, true, "GET /admin/identities/by/external/{id...}", o.byExternalID)
	}
	return mux
}

// otherAdmin answers paths outside of /admin on the admin port.
func (o *Ory) otherAdmin(r *http.Request) answer {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/admin/"):
		return plain404()
	case o.config.Generation == V1:
		a := redirect("/admin" + r.URL.RequestURI())
		a.bare = true
		return a
	case path == "/health/ready":
		return o.ready(r)
	case path == "/health/alive":
		return alive(r)
	case path == "/version":
		return version(r)
	case path == "/sessions/whoami":
		return redirect(o.PublicURL + r.URL.RequestURI())
	}
	return plain404()
}

func (o *Ory) publicRoutes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"/sessions/whoami":                 o.whoami,
		"DELETE /sessions/whoami":          func(*http.Request) answer { return plain404() },
		"GET /self-service/{kind}/api":     o.beginFlow,
		"GET /self-service/{kind}/browser": o.beginFlow,
		"POST /self-service/registration":  o.submitRegistration,
		"POST /self-service/login":         o.submitLogin,
		"POST /self-service/settings":      o.submitSettings,
		"DELETE /self-service/logout/api":  o.logout,
		"GET /health/ready":                o.ready,
		"GET /health/alive":                alive,
		"GET /version":                     version,
		"/admin/":                          func(r *http.Request) answer { return redirect(o.AdminURL + r.URL.RequestURI()) },
		"/":                                func(*http.Request) answer { return plain404() },
	} {
		o.handle(mux, false, pattern, h)
	}
	return mux
}

func alive(*http.Request) answer { return good(http.StatusOK, map[string]string{"status": "ok"}) }
func version(*http.Request) answer {
	return good(http.StatusOK, map[string]string{"version": "master"})
}

func (o *Ory) ready(*http.Request) answer { return alive(nil) }
