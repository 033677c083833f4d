package server

import (
	"errors"
	"net/http"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// people shows persons, re-reads them at Ory, binds their two halves and revokes their
// sessions.
type people struct {
	store         *sqlstore.Store
	project       string
	linker        *link.Linker
	erasures      *erase.Erasures
	verifier      *session.Verifier
	backReference string // its key below metadata_public
}

// user answers GET /admin/users/{id}.
func (h *people) user(r *http.Request) (any, error) {
	id := r.PathValue("id")
	p, err := h.lookup(r, id)
	if err == nil && !p.HasUser(id) {
		err = symbolon.ErrNotFound // it is an identity's ID
	}
	return p, err
}

// identity answers GET /admin/identities/{id}.
func (h *people) identity(r *http.Request, id symbolon.IdentityID) (any, error) {
	p, err := h.lookup(r, string(id))
	if err == nil && !p.HasIdentity(id) {
		err = symbolon.ErrNotFound // it is a user's ID
	}
	return p, err
}

func (h *people) lookup(r *http.Request, id string) (system.Person, error) {
	return system.Lookup(r.Context(), h.linker, h.erasures, h.backReference, id)
}

// sync answers POST /admin/identities/{id}/sync: it reads the identity at Ory now.
func (h *people) sync(r *http.Request, id symbolon.IdentityID) (any, error) {
	link, err := h.linker.Refresh(r.Context(), id, symbolon.FromOperator)
	return map[string]*system.Bond{"link": system.BondOf(link)}, err
}

// bind answers POST /admin/links.
func (h *people) bind(r *http.Request) (any, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	b, err := parseBind(body)
	if err != nil {
		return nil, err
	}
	link, err := h.linker.Bind(r.Context(), b.identity, b.user, symbolon.BindOptions{Move: b.move, Why: b.why})
	if err != nil {
		return nil, err
	}
	behind, err := h.erasures.LeftBehind(r.Context(), link.Identity, link.User)
	return bound{system.BondOf(link), system.LeftRowsOf(behind)}, err
}

// bound is the answer of bind. LeftBehind lists the rows that a move left without an identity
// and that may still hold data of the person.
type bound struct {
	Link       *system.Bond      `json:"link"`
	LeftBehind []*system.LeftRow `json:"left_behind,omitempty"`
}

type bindRequest struct {
	identity symbolon.IdentityID
	user     symbolon.UserID
	move     bool
	why      string
}

// parseBind reads {"identity_id", "user_id", "move", "why"}.
func parseBind(body []byte) (b bindRequest, err error) {
	var identity string
	err = parseObject(body, "The body may have these keys: identity_id, user_id and why (text), move (true or false).",
		map[string]any{"identity_id": &identity, "user_id": &b.user, "move": &b.move, "why": &b.why})
	if err == nil {
		b.identity, err = parseIdentity(identity)
	}
	if p := system.CheckBind(b.user, b.why); err == nil && p != nil {
		err = p
	}
	return b, err
}

// revoke answers DELETE /admin/sessions/{id}.
func (h *people) revoke(r *http.Request) (any, error) {
	id, err := symbolon.ParseIdentityID(r.PathValue("id")) // a session's ID is a UUID as well
	if err != nil {
		return nil, badRequest("A session's ID must be a UUID, but not the nil UUID.")
	}
	err = h.verifier.RevokeSession(r.Context(), string(id))
	if errors.Is(err, symbolon.ErrNotFound) {
		err = answer.New(404, answer.NotFound, "Ory has no such session.")
	}
	return nil, err
}

// revokeAll answers DELETE /admin/identities/{id}/sessions.
func (h *people) revokeAll(r *http.Request, id symbolon.IdentityID) (any, error) {
	return nil, h.verifier.Revoke(r.Context(), id)
}

// refreshed is the answer of refresh. Link is null if the user has no identity.
type refreshed struct {
	Link     *system.Bond `json:"link"`
	Denied   string       `json:"denied,omitempty"`   // the code of the condition of users.deny that the row meets
	Unjudged string       `json:"unjudged,omitempty"` // the column whose value no condition can judge

	// Missing says that Ory no longer has the identity of the link. That alone proves nothing,
	// so the row stays as it is until a reconcile run has proved it.
	Missing bool `json:"identity_missing,omitempty"`
}

// refresh answers POST /admin/users/{id}/refresh, after the application has changed the row: no
// older answer is given any more, on any replica. With an admin URL the identity is read at Ory,
// too.
func (h *people) refresh(r *http.Request) (any, error) {
	rec, err := h.record(r)
	if err != nil {
		return nil, err
	}
	out := refreshed{}
	if identity := identityOf(rec); identity != "" {
		h.verifier.Purge(identity)
		_, err := h.linker.Refresh(r.Context(), identity, symbolon.FromOperator)
		if rec.Row != nil && rec.Row.Unjudged != "" {
			err = nil // nobody knows whether the person is denied, which the answer says
		}
		if errors.Is(err, symbolon.ErrNotFound) {
			out.Missing, err = true, nil // the user exists, which the record says
		}
		if err != nil && !errors.Is(err, symbolon.ErrNoAdmin) && !errors.Is(err, symbolon.ErrDenied) {
			return nil, err
		}
		if rec, err = h.record(r); err != nil {
			return nil, err
		}
	}
	if rec.Link != nil {
		out.Link = system.BondOf(*rec.Link)
	}
	if rec.Row != nil {
		out.Denied, out.Unjudged = rec.Row.Denied, rec.Row.Unjudged
	}
	return out, nil
}

// forget answers DELETE /admin/users/{id}?half=user: the application is about to delete the
// user's row, or has deleted it. It is link.Linker.Forget for applications without Go.
func (h *people) forget(r *http.Request) (any, error) {
	rec, err := h.record(r)
	if err != nil {
		return nil, err
	}
	if err := h.store.ForgetUser(r.Context(), h.project, symbolon.UserID(r.PathValue("id"))); err != nil {
		return nil, err
	}
	if identity := identityOf(rec); identity != "" {
		h.verifier.Purge(identity)
	}
	return nil, nil
}

// record returns what is known of the user that the path names. ErrNotFound: there is no such
// user, or it is an identity's ID.
func (h *people) record(r *http.Request) (symbolon.Record, error) {
	id := r.PathValue("id")
	rec, err := system.Record(r.Context(), h.linker, id)
	if err == nil && !system.PersonOf(rec).HasUser(id) {
		err = symbolon.ErrNotFound
	}
	return rec, err
}

// identityOf is the identity of a person; empty: the user has none.
func identityOf(rec symbolon.Record) symbolon.IdentityID {
	if p := system.PersonOf(rec); p.Identity != nil {
		return p.Identity.ID
	}
	return ""
}
