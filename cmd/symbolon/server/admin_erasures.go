package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/link"
)

// erasures erases persons and shows how far their erasures are.
type erasures struct {
	*erase.Erasures
	people *people
	log    *slog.Logger
}

// erasureTimeout is how long a request waits for the end of its erasure. The erasure
// continues after that.
const erasureTimeout = 2 * time.Second

// eraseUser answers DELETE /admin/users/{id}. With ?half=user only the user is forgotten.
func (h *erasures) eraseUser(r *http.Request) (any, error) {
	if half, err := halfOnly(r.URL.RawQuery); err != nil || half {
		if err != nil {
			return nil, err
		}
		return h.people.forget(r)
	}
	if _, err := h.people.user(r); err != nil {
		return nil, err
	}
	return h.erase(r, r.PathValue("id"))
}

// eraseIdentity answers DELETE /admin/identities/{id}, mostly for an identity without a
// user. If Symbolon does not know the identity, the handler looks for it at Ory.
func (h *erasures) eraseIdentity(r *http.Request, id symbolon.IdentityID) (any, error) {
	p, err := h.people.lookup(r, string(id))
	switch {
	case err == nil && !p.HasIdentity(id) && p.User != nil:
		return nil, symbolon.ErrNotFound // it is a user's ID
	case err != nil && !errors.Is(err, symbolon.ErrNotFound):
		return nil, err
	}
	return h.erase(r, string(id))
}

// erase answers 200 if the erasure is done, and 202 if it continues. The erasure continues
// even if the client cancels the request.
func (h *erasures) erase(r *http.Request, id string) (any, error) {
	request, dryRun, err := eraseRequest(r.URL.RawQuery, id)
	if err != nil {
		return nil, err
	}
	if dryRun {
		return h.plan(r, request)
	}
	ctx, cancel := wait.Detached(r.Context(), system.OperatorTimeout)
	defer cancel()
	begun, err := h.Begin(ctx, request)
	if err != nil {
		return nil, badErasure(err)
	}
	if !begun.Done() {
		waiting, cancel := context.WithTimeout(ctx, erasureTimeout)
		defer cancel()
		if now, err := h.Finish(waiting, begun.ID); now.ID != "" {
			begun = now
		} else if err != nil {
			h.log.Warn("erasure is not done, and is tried again", "erasure", begun.ID, "error", err)
		}
	}
	if !begun.Done() {
		return accepted{erasureBody(begun), "/admin/erasures/" + begun.ID}, nil
	}
	return erasureBody(begun), nil
}

// plan answers what the erasure would do. It changes nothing.
func (h *erasures) plan(r *http.Request, request erase.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
	defer cancel()
	p, err := h.Plan(ctx, request)
	if err != nil {
		return nil, badErasure(err)
	}
	return map[string]system.PlannedErasure{"plan": system.PlannedErasureOf(p)}, nil
}

func badErasure(err error) error {
	if errors.Is(err, erase.ErrRequest) {
		return badRequest("row must be anonymise or delete; " + system.BadWhy)
	}
	return err
}

func erasureBody(e symbolon.Erasure) any {
	return map[string]*system.Erasure{"erasure": system.ErasureOf(e)}
}

// halfOnly reports whether the query is half=user. With another key it is refused, because
// the person would not be erased.
func halfOnly(query string) (bool, error) {
	values, err := url.ParseQuery(query)
	if !values.Has("half") {
		return false, nil // eraseRequest judges every other query
	}
	if err != nil || len(values) != 1 || len(values["half"]) != 1 || values.Get("half") != "user" {
		return false, badRequest("half must be user, and no other key may be beside it.")
	}
	return true, nil
}

// eraseRequest reads ?row=, ?why= and ?dry_run=. A dry run that is misspelt is refused, so that
// it erases nobody.
func eraseRequest(query, id string) (request erase.Request, dryRun bool, err error) {
	const usage = "The query may have row (anonymise or delete), why (one line) and dry_run (true or false), once each."
	values, err := parseQuery(query, usage, "row", "why", "dry_run")
	switch {
	case err != nil:
		return request, false, err
	case link.CheckWhy(values.Get("why")) != nil:
		return request, false, badRequest(system.BadWhy)
	case values.Has("dry_run") && values.Get("dry_run") != "true" && values.Get("dry_run") != "false":
		return request, false, badRequest(usage)
	}
	return erase.Request{ID: id, Row: symbolon.RowPolicy(values.Get("row")), Why: values.Get("why")}, values.Get("dry_run") == "true", nil
}

// erasure answers GET /admin/erasures/{id}.
func (h *erasures) erasure(r *http.Request) (any, error) {
	id := r.PathValue("id")
	if _, err := symbolon.ParseIdentityID(id); err != nil { // an erasure's ID is a UUID as well
		return nil, symbolon.ErrNotFound
	}
	e, err := h.Get(r.Context(), id)
	return erasureBody(e), err
}
