package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// erasureTimeout is what the operator's request waits for the end of an erasure, which
// goes on without it.
const erasureTimeout = 2 * time.Second

// eraseUser answers DELETE /admin/users/{id}.
func (h *adminAPI) eraseUser(w http.ResponseWriter, r *http.Request) {
	id, _, err := h.userOf(r)
	if err != nil {
		h.conclude(w, nil, err)
		return
	}
	h.erase(w, r, id)
}

// eraseIdentity answers DELETE /admin/identities/{id}, for those without a user above
// all; one that Symbolon has never heard of is asked for at Ory.
func (h *adminAPI) eraseIdentity(w http.ResponseWriter, r *http.Request) {
	id, p, err := h.identityOf(r)
	if err != nil && !errors.Is(err, symbolon.ErrNotFound) || err != nil && p.User != nil {
		h.conclude(w, nil, err)
		return
	}
	h.erase(w, r, string(id))
}

// erase answers 200 with an erasure that is done, 202 with one that goes on.
func (h *adminAPI) erase(w http.ResponseWriter, r *http.Request, id string) {
	request, err := eraseRequest(r, id)
	if err != nil {
		answer.Write(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), system.OperatorTimeout)
	defer cancel()
	begun, err := h.erasures.Begin(ctx, request)
	if err != nil {
		if errors.Is(err, erase.ErrRequest) {
			err = answer.New(400, answer.InvalidRequest, "row is anonymise or delete; why is one line of at most 1000 bytes, without an e-mail address: it is kept for good.")
		}
		h.conclude(w, nil, err)
		return
	}
	if !begun.Done() {
		waiting, cancel := context.WithTimeout(ctx, erasureTimeout)
		defer cancel()
		if now, err := h.erasures.Finish(waiting, begun.ID); now.ID != "" {
			begun = now
		} else if err != nil {
			h.log.Warn("erasure waits", "erasure", begun.ID, "error", err)
		}
	}
	status := http.StatusOK
	if !begun.Done() {
		w.Header().Set("Location", "/admin/erasures/"+begun.ID)
		status = http.StatusAccepted
	}
	answer.JSON(w, status, map[string]system.Erasure{"erasure": system.ErasureOf(begun)})
}

// eraseRequest reads ?row= and ?why=. A key that is not understood is refused: a
// misspelt "row" must not go unnoticed.
func eraseRequest(r *http.Request, id string) (erase.Request, error) {
	request := erase.Request{ID: id}
	query := r.URL.Query()
	for key, values := range query {
		switch {
		case len(values) == 1 && key == "row":
			request.Row = symbolon.RowPolicy(values[0])
		case len(values) == 1 && key == "why" && cli.OneLine(values[0]):
			request.Why = values[0]
		default:
			return request, answer.New(400, answer.InvalidRequest, "The query may hold row (anonymise or delete) and why (one line), once each.")
		}
	}
	return request, nil
}

// erasure answers GET /admin/erasures/{id}.
func (h *adminAPI) erasure(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
	defer cancel()
	id := r.PathValue("id")
	if _, err := symbolon.ParseIdentityID(id); err != nil { // it is a UUID as well
		h.conclude(w, nil, symbolon.ErrNotFound)
		return
	}
	e, err := h.erasures.Get(ctx, id)
	h.conclude(w, map[string]system.Erasure{"erasure": system.ErasureOf(e)}, err)
}

// erasePause lies between two looks for erasures that wait.
const erasePause = 5 * time.Second

// resumeErasures carries on what was begun, here or anywhere. What it asks waits its
// turn behind people's requests.
func (p *Server) resumeErasures(ctx context.Context, _ work.Job) error {
	_, _, err := p.Erasures().Resume(symbolon.Background(ctx, system.RunPatience))
	return err
}
