package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/strictjson"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/session"
)

// maxAdminBody is the largest body of an operator's request.
const maxAdminBody = 1 << 20

// adminAPI is the operator's side. Whoever gets here may do everything.
type adminAPI struct {
	linker   *link.Linker
	verifier *session.Verifier
	erasures *erase.Erasures
	key      string // of the back-reference
	log      *slog.Logger
}

// user answers GET /admin/users/{id}.
func (h *adminAPI) user(w http.ResponseWriter, r *http.Request) {
	_, p, err := h.userOf(r)
	h.conclude(w, p, err)
}

// userOf finds whom the path names, by the user's ID.
func (h *adminAPI) userOf(r *http.Request) (id string, p system.Person, err error) {
	id = r.PathValue("id")
	if p, err = h.lookup(r.Context(), id); err == nil && !p.HasUser(id) {
		err = symbolon.ErrNotFound // it is an identity's
	}
	return id, p, err
}

// identity answers GET /admin/identities/{id}.
func (h *adminAPI) identity(w http.ResponseWriter, r *http.Request) {
	_, p, err := h.identityOf(r)
	h.conclude(w, p, err)
}

// identityOf finds whom the path names, by the identity's ID.
func (h *adminAPI) identityOf(r *http.Request) (id symbolon.IdentityID, p system.Person, err error) {
	if id, err = identityID(r.PathValue("id")); err != nil {
		return id, p, err
	}
	if p, err = h.lookup(r.Context(), string(id)); err == nil && !p.HasIdentity(id) {
		err = symbolon.ErrNotFound // it is a user's
	}
	return id, p, err
}

// sync answers POST /admin/identities/{id}/sync: re-read at Ory, now.
func (h *adminAPI) sync(w http.ResponseWriter, r *http.Request) {
	id, err := identityID(r.PathValue("id"))
	if err != nil {
		answer.Write(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
	defer cancel()
	link, err := h.linker.Refresh(ctx, id, symbolon.FromOperator)
	h.conclude(w, map[string]system.Bond{"link": system.BondOf(link)}, err)
}

// bind answers POST /admin/links.
func (h *adminAPI) bind(w http.ResponseWriter, r *http.Request) {
	body, err := answer.ReadJSON(r, maxAdminBody)
	if err != nil {
		answer.Write(w, err)
		return
	}
	b, err := parseBind(body)
	if err != nil {
		answer.Write(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
	defer cancel()
	link, err := h.linker.Bind(ctx, b.identity, b.user, symbolon.BindOptions{Move: b.move, Why: b.why})
	h.conclude(w, map[string]system.Bond{"link": system.BondOf(link)}, err)
}

// revoke answers DELETE /admin/sessions/{id}.
func (h *adminAPI) revoke(w http.ResponseWriter, r *http.Request) {
	id, err := symbolon.ParseIdentityID(r.PathValue("id")) // a UUID, too
	if err != nil {
		answer.Write(w, answer.New(400, answer.InvalidRequest, "A session's ID is a UUID, and not the nil one."))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
	defer cancel()
	err = h.verifier.RevokeSession(ctx, string(id))
	if errors.Is(err, symbolon.ErrNotFound) {
		err = answer.New(404, answer.NotFound, "Ory has no such session.")
	}
	h.done(w, err)
}

// revokeAll answers DELETE /admin/identities/{id}/sessions.
func (h *adminAPI) revokeAll(w http.ResponseWriter, r *http.Request) {
	id, err := identityID(r.PathValue("id"))
	if err != nil {
		answer.Write(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
	defer cancel()
	h.done(w, h.verifier.Revoke(ctx, id))
}

// done answers that there is nothing more to say, or with the error.
func (h *adminAPI) done(w http.ResponseWriter, err error) {
	if err != nil {
		h.conclude(w, nil, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

func (h *adminAPI) lookup(ctx context.Context, id string) (system.Person, error) {
	ctx, cancel := context.WithTimeout(ctx, system.OperatorTimeout)
	defer cancel()
	return system.Lookup(ctx, h.linker, h.erasures, h.linker.Ory, h.key, id)
}

// conclude answers with v, or with the error. The operator is told more of a
// denial than a stranger.
func (h *adminAPI) conclude(w http.ResponseWriter, v any, err error) {
	var deny *symbolon.DenyError
	switch {
	case err == nil:
		answer.JSON(w, http.StatusOK, v)
	case errors.As(err, &deny):
		p := answer.Of(err)
		answer.Write(w, answer.New(p.Status, p.Code, deny.Error()))
	default:
		if p := answer.Of(err); p.Status >= 500 {
			h.log.Warn("operator's request could not be answered", "error", err)
		}
		answer.Write(w, err)
	}
}

type bindRequest struct {
	identity symbolon.IdentityID
	user     symbolon.UserID
	move     bool
	why      string
}

// parseBind reads {"identity_id", "user_id", "move", "why"}. A key that is not
// understood is refused: a misspelt "move" must not go unnoticed.
func parseBind(body []byte) (b bindRequest, err error) {
	object, err := strictjson.Object(body)
	if err != nil {
		return b, answer.New(400, answer.InvalidJSON, "The body cannot be used: "+err.Error()+".")
	}
	var identity, user string
	for key, raw := range object {
		switch key {
		case "identity_id":
			err = json.Unmarshal(raw, &identity)
		case "user_id":
			err = json.Unmarshal(raw, &user)
		case "move":
			err = json.Unmarshal(raw, &b.move)
		case "why":
			err = json.Unmarshal(raw, &b.why)
		default:
			err = errors.New("unknown")
		}
		if err != nil || string(raw) == "null" {
			return b, answer.New(400, answer.InvalidRequest, "Send identity_id, user_id and why as text and move as true or false; nothing else.")
		}
	}
	if b.identity, err = identityID(identity); err != nil {
		return b, err
	}
	b.user = symbolon.UserID(user)
	return b, system.CheckBind(b.user, b.why)
}

func identityID(text string) (symbolon.IdentityID, error) {
	id, err := symbolon.ParseIdentityID(text)
	if err != nil {
		return "", answer.New(400, answer.InvalidRequest, "An identity's ID is a UUID, and not the nil one.")
	}
	return id, nil
}
