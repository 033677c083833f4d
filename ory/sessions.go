package ory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/ascii"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// Kind says where a request carries a credential. Ory gets it in the same place.
type Kind string

const (
	SessionToken  Kind = "token"  // header X-Session-Token
	SessionCookie Kind = "cookie" // Ory's session cookie
	BearerToken   Kind = "bearer" // header Authorization: Bearer ory_st_…
)

// Credential is the secret that proves a session. When it is formatted or logged, it shows
// only its kind.
type Credential struct {
	Kind  Kind
	Value string // as in the request; for a cookie only its value
}

// String hides the value.
func (c Credential) String() string { return "credential(" + string(c.Kind) + ")" }

// GoString hides the value.
func (c Credential) GoString() string { return c.String() }

// MarshalText hides the value from JSON, which would show the fields.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

type freshKey struct{}

// Fresh returns a context in which the cache at Ory Network's edge does not answer
// [Client.Whoami], whatever EdgeCache says. Use it after a change.
func Fresh(ctx context.Context) context.Context { return context.WithValue(ctx, freshKey{}, true) }

func isFresh(ctx context.Context) bool { return ctx.Value(freshKey{}) != nil }

// Whoami asks Ory whose session a credential proves.
//
// Errors: [ErrNoSession], which proves nothing by itself; [ErrAAL2Required]; and
// symbolon.ErrUnavailable for everything else, including an answer without an identity.
func (c *Client) Whoami(ctx context.Context, cred Credential) (Session, error) {
	if cred.Kind != SessionToken && cred.Kind != SessionCookie && cred.Kind != BearerToken || cred.Value == "" || !ascii.Visible(cred.Value) {
		return Session{}, unknown("whoami without a credential")
	}
	r, err := c.ask(ctx, question{bucket: publicHigh, path: "/sessions/whoami", cred: cred, fresh: isFresh(ctx)})
	if err != nil {
		return Session{}, fmt.Errorf("whoami: %w", err)
	}
	if r.status != http.StatusOK {
		return Session{}, fmt.Errorf("whoami: %w", whoamiRefusal(r))
	}
	s, err := decoded(r, "whoami", DecodeSession)
	if err == nil && s.Identity == nil {
		return Session{}, unknown("whoami names no identity")
	}
	return s, err
}

// whoamiRefusal returns the error of an answer other than 200. Only a 401 and a 403 say
// something about the session; a 404 or a 400 does not.
func whoamiRefusal(r *reply) error {
	e, _, own := r.kratosError()
	switch {
	case own && r.status == http.StatusUnauthorized:
		e.kind = ErrNoSession
	case own && r.status == http.StatusForbidden && e.ID == "session_aal2_required":
		e.kind, e.Redirect = ErrAAL2Required, r.redirect()
	}
	return e
}

// redirect returns the URL to which Kratos would send a browser. It returns "" for a URL
// that two programs may read differently.
func (r *reply) redirect() string {
	to, err := r.fields().optional("redirect_browser_to")
	if err != nil || len(to) > 2<<10 || !ascii.Visible(to) || strings.ContainsAny(to, "\\\"<>") || r.repeats(to) {
		return ""
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return ""
	}
	return to
}

// Session reads a session with its identity over the admin API. ErrNotFound means Kratos' own
// 404: the session or its identity was deleted.
func (c *Client) Session(ctx context.Context, id string) (Session, error) {
	q := question{bucket: adminMedium, admin: true, path: idPath("/admin/sessions/", id, ""), query: url.Values{"expand": {"identity"}}}
	return get(ctx, c, "read session", q, func(body []byte) (Session, error) {
		s, err := DecodeSession(body)
		if err == nil && !strings.EqualFold(s.ID, id) {
			return Session{}, errors.New("it is not the session that was asked for")
		}
		return s, err
	})
}

// LastSignIn returns when somebody last signed in as the identity, by its newest 50 sessions.
// It returns the zero time if the identity has no session.
func (c *Client) LastSignIn(ctx context.Context, id symbolon.IdentityID) (time.Time, error) {
	q := question{bucket: adminMedium, admin: true, path: idPath("/admin/identities/", string(id), "/sessions"), query: url.Values{"page_size": {"50"}}}
	return get(ctx, c, "read the sessions of identity "+string(id), q, newestSignIn)
}

func newestSignIn(body []byte) (last time.Time, err error) {
	items, err := strictjson.Array(body)
	for _, item := range items {
		f, err := split(item)
		if err != nil {
			return last, err
		}
		at, err := f.time("authenticated_at")
		if err != nil {
			return last, err
		}
		if at.After(last) {
			last = at
		}
	}
	return last, err
}

// Sessions returns the newest 50 sessions of an identity, also those that have ended.
func (c *Client) Sessions(ctx context.Context, id symbolon.IdentityID) ([]symbolon.Session, error) {
	q := question{bucket: adminMedium, admin: true, path: idPath("/admin/identities/", string(id), "/sessions"), query: url.Values{"page_size": {"50"}}}
	return get(ctx, c, "read the sessions of identity "+string(id), q, sessionsOfIdentity)
}

func sessionsOfIdentity(body []byte) (all []symbolon.Session, err error) {
	items, err := strictjson.Array(body)
	for _, item := range items {
		s, err := session(item)
		if err != nil {
			return nil, err
		}
		all = append(all, s.Session)
	}
	return all, err
}

// ProbeSessions reads any one session with its identity over the admin API. It returns no
// error if Ory can read its sessions and identities at this moment.
func (c *Client) ProbeSessions(ctx context.Context) error {
	q := question{bucket: adminMedium, admin: true, path: "/admin/sessions", query: url.Values{"page_size": {"1"}, "expand": {"identity"}}}
	_, err := get(ctx, c, "probe sessions", q, sessionsWithIdentities)
	return err
}

func sessionsWithIdentities(body []byte) ([][]byte, error) {
	items, err := strictjson.Array(body)
	for _, item := range items {
		if s, err := session(item); err != nil || s.Identity == nil {
			return nil, errors.New("a session without its identity")
		}
	}
	return items, err
}

// RevokeSession revokes one session. ErrNotFound: Ory does not have the session.
func (c *Client) RevokeSession(ctx context.Context, id string) error {
	return c.remove(ctx, "revoke session", idPath("/admin/sessions/", id, ""))
}

// RevokeSessions revokes all sessions of an identity. It also succeeds if the identity has
// no session or does not exist, because then no session is left.
func (c *Client) RevokeSessions(ctx context.Context, id symbolon.IdentityID) error {
	err := c.remove(ctx, "revoke the sessions of identity "+string(id), idPath("/admin/identities/", string(id), "/sessions"))
	if errors.Is(err, symbolon.ErrNotFound) {
		return nil
	}
	return err
}

// remove sends a DELETE for a path. The parameter doing is the beginning of every error's
// text.
func (c *Client) remove(ctx context.Context, doing, path string) error {
	r, err := c.ask(ctx, question{bucket: adminLow, method: http.MethodDelete, admin: true, path: path})
	if err == nil && r.status != http.StatusNoContent {
		err = r.refusal()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// idPath puts an ID into a path. The path is empty unless the ID is a UUID.
func idPath(before, id, after string) string {
	canonical, err := symbolon.ParseIdentityID(id)
	if err != nil {
		return ""
	}
	return before + string(canonical) + after
}
