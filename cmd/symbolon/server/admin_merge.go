package server

import (
	"net/http"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/link"
)

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
		if p := system.CheckBind(user, o.Why); err == nil && p != nil {
			err = p
		}
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
