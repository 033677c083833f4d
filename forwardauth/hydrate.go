package forwardauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// Hydrate answers Ory Oathkeeper's hydrator, which knows whose a request is and asks for
// more about that user:
//
//	POST {"subject": the identity's ID, "extra": {…}, "header": {…}, "match_context": {…}}
//
// The answer is the same document with extra.symbolon (user_id, identity_id, session_id,
// aal, email) and with all headers of ForwardAuth in header. Oathkeeper sets them on the
// request that it passes on, over what the client sent.
//
// Oathkeeper passes the client's headers on, and with them the session. The session is
// verified as always, and has to be the subject's. A subject that is no identity's ID
// (Oathkeeper's anonymous) is a stranger, whose headers are empty. Basic authentication
// takes the place of Authorization, so that a Bearer token of Ory's never arrives:
// programs send X-Session-Token.
//
// Errors: 400, 413, 415 for a body that cannot be read; 401 for the wrong password; 403 and
// 503 as with ForwardAuth. Oathkeeper makes a 500 of every one of them.
type Hydrate struct {
	// ForwardAuth says whose a request is: by its Verifier, in its Headers, and signed by
	// its Signer. Its Policies and its Login do not count.
	ForwardAuth *ForwardAuth

	// User and Passwords of the basic authentication: one password, or two while it is
	// changed. Without a password every request is refused.
	User      string
	Passwords []string
}

// maxHydrate bounds the body, most of which is what whoami said.
const maxHydrate = 1 << 20

// ServeHTTP answers Oathkeeper.
func (h *Hydrate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer.Method(http.MethodPost, h.post)(w, r)
}

func (h *Hydrate) post(w http.ResponseWriter, r *http.Request) {
	if !h.authenticated(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="symbolon"`)
		answer.Write(w, wrongPassword)
		return
	}
	r.Header.Del("Content-Encoding") // the client's, of a body that is not here
	body, err := answer.ReadJSON(r, maxHydrate)
	if err != nil {
		answer.Write(w, err)
		return
	}
	doc, subject, err := readHydration(body)
	if err == nil {
		err = h.hydrate(r, doc, subject)
	}
	if err != nil {
		answer.Write(w, err)
		return
	}
	answer.JSON(w, http.StatusOK, doc)
}

var (
	wrongPassword = answer.New(http.StatusUnauthorized, answer.Unauthenticated, "This needs the user and the password of hooks.basic.hydrate.")
	otherSubject  = answer.New(http.StatusForbidden, answer.Conflict, "The session is not the subject's.")
	noSession     = answer.New(http.StatusForbidden, answer.Unauthenticated, "The subject has no session: Oathkeeper has to pass on the session cookie or X-Session-Token.")
)

func (h *Hydrate) authenticated(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	good := 0
	for _, p := range h.Passwords {
		if p != "" {
			good |= same(password, p)
		}
	}
	return good&same(user, h.User) == 1 && ok
}

func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

type document map[string]json.RawMessage

func readHydration(body []byte) (document, string, error) {
	doc, err := strictjson.Object(body)
	if err != nil {
		return nil, "", answer.New(http.StatusBadRequest, answer.InvalidJSON, "The body cannot be read: "+err.Error()+".")
	}
	var subject string
	if json.Unmarshal(doc["subject"], &subject) != nil || doc["subject"][0] != '"' {
		return nil, "", answer.New(http.StatusBadRequest, answer.InvalidRequest, "subject must be text.")
	}
	return doc, subject, nil
}

// hydrate writes into doc who the request is.
func (h *Hydrate) hydrate(r *http.Request, doc document, subject string) error {
	f := h.ForwardAuth
	if err := f.ready(); err != nil {
		return err
	}
	headers := http.Header{}
	f.clearHeaders(headers)
	id, err := symbolon.ParseIdentityID(subject)
	if err != nil {
		return doc.set(nil, headers)
	}
	p, err := f.Verifier.Authenticate(r)
	switch {
	case answer.Of(err).Status == http.StatusUnauthorized && err != nil:
		return noSession // a 401 would mean the password
	case err != nil:
		return err
	case p.User.Identity != id:
		return otherSubject
	}
	assertion := ""
	if f.Signer != nil {
		if assertion, err = f.Signer.Assert(p); err != nil {
			return err
		}
	}
	f.setHeaders(headers, p, assertion)
	return doc.set(&hydrated{p.User.ID, p.User.Identity, p.Session.ID, p.Session.AAL, p.Email}, headers)
}

type hydrated struct {
	UserID     symbolon.UserID     `json:"user_id"`
	IdentityID symbolon.IdentityID `json:"identity_id"`
	SessionID  string              `json:"session_id"`
	AAL        string              `json:"aal"`
	Email      string              `json:"email"` // the first verified one, or ""
}

// set leaves everything else as it came. A nil whom takes away only the members that are
// Symbolon's.
func (doc document) set(whom *hydrated, headers http.Header) error {
	if err := doc.merge("extra", map[string]any{"symbolon": whom}); err != nil {
		return err
	}
	more := map[string]any{}
	for name, values := range headers {
		more[name] = values
	}
	return doc.merge("header", more)
}

// merge sets members of one of the document's objects, in every spelling.
func (doc document) merge(key string, more map[string]any) error {
	in := document{}
	if raw := doc[key]; len(raw) > 0 && string(raw) != "null" {
		var err error
		if in, err = strictjson.Object(raw); err != nil {
			return answer.New(http.StatusBadRequest, answer.InvalidRequest, key+" must be an object or null.")
		}
	}
	for name, value := range more {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		for other := range in {
			if http.CanonicalHeaderKey(other) == http.CanonicalHeaderKey(name) {
				delete(in, other)
			}
		}
		in[name] = text
	}
	text, err := json.Marshal(in)
	doc[key] = text
	return err
}
