package forwardauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/strictjson"
	"github.com/symbolon-id/symbolon/session"
)

// Hydrate answers Ory Oathkeeper's hydrator. The hydrator knows the subject of a request
// and asks for more data about the subject:
//
//	POST {"subject": the identity's ID, "extra": {…}, "header": {…}, "match_context": {…}}
//
// The answer is the same document with extra.symbolon (user_id, identity_id, session_id,
// aal, email) and with all headers of ForwardAuth in header. Oathkeeper sets them on the
// request that it passes on, and so replaces the client's headers of these names.
//
// Oathkeeper passes on the client's headers, and with them the session. The session is
// verified as in every request, and must belong to the subject. A subject that is not an
// identity's ID (Oathkeeper's anonymous) gets empty headers. Oathkeeper sends its basic
// authentication in the header Authorization. That replaces the client's value, so a Bearer
// token of Ory never arrives. Programs must send X-Session-Token.
//
// Errors: 400, 413, 415 for a body that cannot be read; 401 for a wrong password; 403 and
// 503 as with ForwardAuth. Oathkeeper turns each of them into a 500.
type Hydrate struct {
	// ForwardAuth provides the Verifier, the Headers and the Signer. Its Policies and its
	// Login are not used.
	ForwardAuth *ForwardAuth

	// User and Passwords are for the basic authentication. Give two passwords while the
	// password is being changed. Without a password every request is refused.
	User      string
	Passwords []string
}

// maxHydrate bounds the body, most of which is the answer of whoami.
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
	r.Header.Del("Content-Encoding") // it describes the client's body, which is not in this request
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
	subject, ok := strictjson.Text(doc["subject"])
	if !ok {
		return nil, "", answer.New(http.StatusBadRequest, answer.InvalidRequest, "subject must be text.")
	}
	return doc, subject, nil
}

// hydrate adds the request's user to doc.
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
	case errors.Is(err, session.ErrUnauthenticated):
		return noSession // a 401 would mean a wrong password
	case err != nil:
		return err
	case p.User.Identity != id:
		return otherSubject
	}
	if err := f.setHeaders(headers, p); err != nil {
		return err
	}
	return doc.set(&hydrated{p.User.ID, p.User.Identity, p.Session.ID, p.Session.AAL, p.Email}, headers)
}

type hydrated struct {
	UserID     symbolon.UserID     `json:"user_id"`
	IdentityID symbolon.IdentityID `json:"identity_id"`
	SessionID  string              `json:"session_id"`
	AAL        string              `json:"aal"`
	Email      string              `json:"email"` // the first verified address, or ""
}

// set sets Symbolon's members and does not change the others. A nil user removes Symbolon's
// members.
func (doc document) set(user *hydrated, headers http.Header) error {
	if err := merge(doc, "extra", map[string]*hydrated{"symbolon": user}); err != nil {
		return err
	}
	return merge(doc, "header", headers)
}

// merge sets members of one of the document's objects. It also removes members whose names
// differ from these only in upper and lower case.
func merge[V any](doc document, key string, more map[string]V) error {
	in := document{}
	if raw := doc[key]; !strictjson.IsNull(raw) {
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
