package fakeory

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// session is a session as Ory stores it. The keys are in Ory's order.
type session struct {
	ID              string    `json:"id"`
	Active          bool      `json:"active"`
	ExpiresAt       time.Time `json:"expires_at"`
	AuthenticatedAt time.Time `json:"authenticated_at"`
	AAL             string    `json:"authenticator_assurance_level"`
	Methods         []method  `json:"authentication_methods"`
	IssuedAt        time.Time `json:"issued_at"`
	Identity        *identity `json:"identity"`
	Devices         []device  `json:"devices"`

	of, token string
}

type method struct {
	Method      string    `json:"method"`
	AAL         string    `json:"aal"`
	CompletedAt time.Time `json:"completed_at"`
}

type device struct {
	ID        string `json:"id"`
	Address   string `json:"ip_address"`
	UserAgent string `json:"user_agent"`
	Location  string `json:"location"`
}

const lifespan = 24 * time.Hour

// newSession creates a session. keep stores it.
func newSession(r *http.Request, i identity) session {
	t := time.Now().UTC()
	s := session{ID: newID(), Active: true, ExpiresAt: t.Add(lifespan), AuthenticatedAt: t, IssuedAt: t, AAL: "aal1",
		Methods: []method{{"password", "aal1", t}}, of: i.ID, token: "ory_st_" + secret(32),
		Devices: []device{{ID: newID(), Address: r.RemoteAddr, UserAgent: r.UserAgent()}}}
	s.Identity = ptr(i.forPeople())
	return s
}

// keep stores a session. It does not store it if the identity was deleted meanwhile.
func (d *data) keep(s session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.identities[s.of] == nil {
		return
	}
	row := s
	row.Identity = nil
	d.sessions[s.ID] = &row
	d.tokens[s.token] = s.ID
	d.sessionsOf[s.of] = append(d.sessionsOf[s.of], s.ID)
}

func secret(n int) string {
	return strings.ReplaceAll(newID()+newID(), "-", "")[:n]
}

// dropSessions deletes the rows of an identity's sessions. The caller holds the lock.
func (d *data) dropSessions(of string) int {
	ids := d.sessionsOf[of]
	for _, id := range ids {
		delete(d.tokens, d.sessions[id].token)
		delete(d.sessions, id)
	}
	delete(d.sessionsOf, of)
	return len(ids)
}

// session returns copies of a session and of its identity.
func (d *data) session(id string) (session, identity, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.sessions[id]
	if !ok {
		return session{}, identity{}, false
	}
	return *s, d.identities[s.of].clone(), true
}

func (o *Ory) getSession(r *http.Request) answer {
	s, i, ok := o.data.session(r.PathValue("id"))
	if !ok {
		return notFound()
	}
	return good(http.StatusOK, s.expanded(r, i))
}

// expanded returns the session with only the fields that the expand parameters name.
func (s session) expanded(r *http.Request, i identity) session {
	expand := r.URL.Query()["expand"]
	s.Active = s.Active && time.Now().Before(s.ExpiresAt)
	if slices.Contains(expand, "identity") || slices.Contains(expand, "Identity") {
		s.Identity = ptr(i.forPeople())
	}
	if !slices.Contains(expand, "devices") && !slices.Contains(expand, "Devices") {
		s.Devices = []device{}
	}
	return s
}

// listSessions lists the sessions of all identities. It knows only page_size, page_token,
// active and expand. The page token is the ID of the last session of the page before.
func (o *Ory) listSessions(r *http.Request) answer {
	q := r.URL.Query()
	size, a := o.pageSize(q)
	if a != nil {
		return *a
	}
	d := &o.data
	d.mu.Lock()
	var ids []string
	for id, s := range d.sessions {
		if active := q.Get("active"); id > q.Get("page_token") && (active == "" || active == strconv.FormatBool(s.Active)) {
			ids = append(ids, id)
		}
	}
	d.mu.Unlock()
	slices.Sort(ids)
	last, shown := "", []session{}
	if len(ids) > size {
		ids, last = ids[:size], ids[size-1]
	}
	for _, id := range ids {
		if s, i, ok := d.session(id); ok {
			shown = append(shown, s.expanded(r, i))
		}
	}
	page := good(http.StatusOK, shown)
	page.header.Set("Link", links("/admin/sessions", q, size, last))
	return page
}

// sessionsOf lists one identity's sessions, newest first. As in Ory, the identity in this
// listing has no addresses and no schema URL.
func (o *Ory) sessionsOf(r *http.Request) answer {
	id, active := strings.ToLower(r.PathValue("id")), r.URL.Query().Get("active")
	o.data.mu.Lock()
	ids := slices.Clone(o.data.sessionsOf[id])
	o.data.mu.Unlock()
	shown := []session{}
	for _, sid := range slices.Backward(ids) {
		s, i, ok := o.data.session(sid)
		if !ok || active != "" && active != strconv.FormatBool(s.Active) {
			continue
		}
		i = i.forPeople()
		i.SchemaURL, i.Verifiable, i.Recovery = "", nil, nil
		s.Identity = &i
		shown = append(shown, s)
	}
	q := r.URL.Query()
	size := strconv.Itoa(min(len(shown), defaultPage))
	q.Set("page", "0")
	q.Set("page_size", size)
	q.Set("per_page", size)
	q.Set("page_token", base64.RawURLEncoding.EncodeToString([]byte(`{"offset":"0","v":2}`)))
	a := good(http.StatusOK, shown)
	a.header.Set("X-Total-Count", strconv.Itoa(len(shown)))
	a.header.Set("Link", fmt.Sprintf(`<%s?%s>; rel="first"`, r.URL.Path, q.Encode()))
	return a
}

// revokeSession revokes one session and keeps its row.
func (o *Ory) revokeSession(r *http.Request) answer {
	o.data.mu.Lock()
	defer o.data.mu.Unlock()
	s, ok := o.data.sessions[r.PathValue("id")]
	if !ok {
		return notFound()
	}
	s.Active = false
	a := noContent()
	a.header.Set("Content-Type", jsonUTF8)
	return a
}

// deleteSessionsOf deletes the rows of all sessions of an identity.
func (o *Ory) deleteSessionsOf(r *http.Request) answer {
	o.data.mu.Lock()
	defer o.data.mu.Unlock()
	if o.data.dropSessions(strings.ToLower(r.PathValue("id"))) == 0 {
		return notFound()
	}
	return noContent()
}

func unauthorized() answer {
	return failed(http.StatusUnauthorized, errorBody{Reason: "No valid session credentials found in the request.",
		Message: "The request could not be authorized"})
}

// whoami uses one credential: X-Session-Token, else a cookie that can be decoded, else
// the bearer token.
func (o *Ory) whoami(r *http.Request) answer {
	s, i, junk, ok := o.authenticate(r)
	switch {
	case !ok:
		return unauthorized()
	case i.secondFactor && s.AAL == "aal1":
		return o.aal2Required()
	}
	a := good(http.StatusOK, s)
	if junk { // Kratos reads the cookie once more before it answers
		a = internal("securecookie: the value is not valid")
	}
	a.header["X-Kratos-Authenticated-Identity-Id"] = []string{i.ID}
	return a
}

// authenticate returns the session of the request. junk reports a session cookie that
// cannot be decoded.
func (o *Ory) authenticate(r *http.Request) (s session, i identity, junk, ok bool) {
	token := r.Header.Get("X-Session-Token")
	if cookie, err := r.Cookie(o.config.Cookie); err == nil {
		fromCookie, good := o.data.tokenOf(cookie.Value)
		junk = !good
		if good && token == "" {
			token = fromCookie
		}
	}
	if bearer, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); has && token == "" {
		token = bearer
	}
	o.data.mu.Lock()
	id := o.data.tokens[token]
	o.data.mu.Unlock()
	if s, i, ok = o.data.session(id); !ok || !s.Active || i.State != "active" || !time.Now().Before(s.ExpiresAt) {
		return session{}, identity{}, junk, false
	}
	s.Identity = ptr(i.forPeople())
	return s, i, junk, true
}

func (o *Ory) aal2Required() answer {
	target := o.PublicURL + "/self-service/login/browser?aal=aal2"
	a := failed(http.StatusForbidden, errorBody{ID: "session_aal2_required",
		Reason: "An active session was found but it does not fulfill the requested Authenticator Assurance Level. " +
			"Please verify yourself with a second factor to resolve this issue.",
		Details: map[string]any{"redirect_browser_to": target},
		Message: "Session does not fulfill the requested Authenticator Assurance Level"})
	a.body = append(a.body[:len(a.body)-2], []byte(fmt.Sprintf(",\"redirect_browser_to\":%q}\n", target))...)
	return a
}

const cookieMark = "fakeory|"

// encodeCookie encodes a session token with the alphabet and padding of Ory's cookie, but
// without its cipher.
func encodeCookie(token string) string {
	return base64.URLEncoding.EncodeToString([]byte(cookieMark + token))
}

// tokenOf returns the token of a session cookie.
func (d *data) tokenOf(cookie string) (token string, ok bool) {
	d.mu.Lock()
	token, ok = d.cookies[cookie]
	d.mu.Unlock()
	if ok {
		return token, true
	}
	return decodeCookie(cookie)
}

func decodeCookie(value string) (token string, ok bool) {
	raw, err := base64.URLEncoding.DecodeString(value)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(raw), cookieMark)
}
