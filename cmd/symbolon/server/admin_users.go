package server

import (
	"errors"
	"net/http"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// refreshed is the answer of refresh. Link is null if the user has no identity.
type refreshed struct {
	Link   *system.Bond `json:"link"`
	Denied string       `json:"denied,omitempty"` // the code of the condition of users.deny that the row meets
}

// refresh answers POST /admin/users/{id}/refresh, after the application has changed the row: no
// older answer is given any more, on any replica. With an admin URL the identity is read at Ory,
// too.
func (h *people) refresh(r *http.Request) (any, error) {
	rec, err := h.record(r)
	if err != nil {
		return nil, err
	}
	if identity := identityOf(rec); identity != "" {
		h.verifier.Purge(identity)
		_, err := h.linker.Refresh(r.Context(), identity, symbolon.FromOperator)
		if err != nil && !errors.Is(err, symbolon.ErrNoAdmin) && !errors.Is(err, symbolon.ErrDenied) {
			return nil, err
		}
		if rec, err = h.record(r); err != nil {
			return nil, err
		}
	}
	out := refreshed{}
	if rec.Link != nil {
		out.Link = system.BondOf(*rec.Link)
	}
	if rec.Row != nil {
		out.Denied = rec.Row.Denied
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
