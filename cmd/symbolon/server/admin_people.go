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
	reserves      bool   // the printed hooks have the reserve hook
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
	link, err := h.linker.Bind(r.Context(), b.identity, b.user, symbolon.BindOptions{Move: b.move, Also: b.also, Why: b.why})
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
	also     bool
	why      string
}

// parseBind reads {"identity_id", "user_id", "move", "also", "why"}.
func parseBind(body []byte) (b bindRequest, err error) {
	var identity string
	err = parseObject(body, "The body may have these keys: identity_id, user_id and why (text), move and also (true or false).",
		map[string]any{"identity_id": &identity, "user_id": &b.user, "move": &b.move, "also": &b.also, "why": &b.why})
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
	if err := h.verifier.Revoke(r.Context(), id); err != nil {
		return nil, err
	}
	all, err := h.linker.Identities(r.Context(), string(id)) // a person's further identities are revoked, too
	if errors.Is(err, symbolon.ErrNotFound) {
		return nil, nil
	}
	for _, other := range all {
		if err == nil && other != id {
			err = h.verifier.Revoke(r.Context(), other)
		}
	}
	return nil, err
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
	h.purgeFurther(rec)
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

// invite answers POST /admin/users/{id}/invite. The body is {"for"}, or empty.
func (h *people) invite(r *http.Request) (any, error) {
	life := ""
	if r.ContentLength != 0 || r.Header.Get("Content-Type") != "" {
		body, err := readBody(r)
		if err == nil {
			err = parseObject(body, "The body may have the key for (a time such as 24h or 7d), or be empty.", map[string]any{"for": &life})
		}
		if err != nil {
			return nil, err
		}
	}
	d, err := system.ParseLife(life)
	if err != nil {
		return nil, badRequest("for: " + err.Error() + ".")
	}
	user := symbolon.UserID(r.PathValue("id"))
	switch {
	case !h.reserves:
		return nil, answer.New(409, answer.Conflict, system.NoReserveHook+".")
	case system.CheckBind(user, "") != nil:
		return nil, symbolon.ErrNotFound // no table has such a key
	}
	invite, err := h.linker.Invite(r.Context(), user, d)
	if refused, ok := errors.AsType[*link.UninvitableError](err); ok {
		err = answer.New(409, answer.Conflict, refused.Error()+".")
	}
	return invite, err
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
	h.purgeFurther(rec)
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

// unlink answers DELETE /admin/links/{id}: it takes a further identity from its user.
func (h *people) unlink(r *http.Request, id symbolon.IdentityID) (any, error) {
	q, err := parseQuery(r.URL.RawQuery, "The query may have only why.", "why")
	if err != nil {
		return nil, err
	}
	why := q.Get("why")
	if link.CheckWhy(why) != nil {
		return nil, badRequest(system.BadWhy)
	}
	bond, err := h.linker.Unlink(r.Context(), id, why)
	return map[string]*system.Bond{"link": system.BondOf(bond)}, err
}

// merged is the answer of merge and unmerge.
type merged struct {
	From     symbolon.UserID       `json:"from"`
	Into     symbolon.UserID       `json:"into"`
	Identity symbolon.IdentityID   `json:"identity_id"`
	Further  []symbolon.IdentityID `json:"further_identity_ids,omitempty"`
	DryRun   bool                  `json:"dry_run,omitempty"`
	Done     bool                  `json:"done_before,omitempty"`
}

// merge answers POST /admin/merges.
func (h *people) merge(r *http.Request) (any, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	var from, into symbolon.UserID
	var o link.MergeOptions
	err = parseObject(body, "The body may have these keys: from, into and why (text), dry_run (true or false).",
		map[string]any{"from": &from, "into": &into, "why": &o.Why, "dry_run": &o.DryRun})
	for _, user := range []symbolon.UserID{from, into} {
		if err == nil && system.CheckBind(user, "") != nil {
			err = badRequest("from and into must be keys of users: text of 1 to 255 bytes.")
		}
	}
	if err == nil && link.CheckWhy(o.Why) != nil {
		err = badRequest(system.BadWhy)
	}
	if err != nil {
		return nil, err
	}
	m, err := h.linker.Merge(r.Context(), from, into, o)
	return answerOf(m, o), err
}

// unmerge answers DELETE /admin/merges/{id}: it undoes the merge of a user.
func (h *people) unmerge(r *http.Request) (any, error) {
	q, err := parseQuery(r.URL.RawQuery, "The query may have why, and dry_run=true.", "why", "dry_run")
	if err != nil {
		return nil, err
	}
	o := link.MergeOptions{Why: q.Get("why"), DryRun: q.Get("dry_run") == "true"}
	if q.Has("dry_run") && !o.DryRun {
		return nil, badRequest("The query may have why, and dry_run=true.")
	}
	from := symbolon.UserID(r.PathValue("id"))
	if p := system.CheckBind(from, o.Why); p != nil {
		return nil, p
	}
	m, err := h.linker.Unmerge(r.Context(), from, o)
	return answerOf(m, o), err
}

func answerOf(m link.Merged, o link.MergeOptions) merged {
	return merged{From: m.From, Into: m.Into, Identity: m.Identity, Further: m.Further, DryRun: o.DryRun, Done: m.Done}
}

// purgeFurther drops the cached answers about the sessions of a person's further identities.
func (h *people) purgeFurther(rec symbolon.Record) {
	for _, f := range rec.Also {
		h.verifier.Purge(f.Identity)
	}
}
