// Package answer has the one format of Symbolon's HTTP answers, and is the only place where
// an error becomes a status:
//
//	{"error":{"code":"link_on_hold","message":"…"}}
package answer

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/symbolon-id/symbolon"
)

// Code is a machine-readable reason. The set of codes is part of the public interface. An
// application adds its own by sqlstore.Users.Deny.
type Code string

const (
	InvalidJSON      Code = "invalid_json"
	InvalidRequest   Code = "invalid_request"
	NotFound         Code = "not_found"
	MethodNotAllowed Code = "method_not_allowed"
	Timeout          Code = "timeout"
	TooLarge         Code = "too_large"
	UnsupportedMedia Code = "unsupported_media"
	Unauthenticated  Code = "unauthenticated"
	AAL2Required     Code = "aal2_required"
	NotVerified      Code = "not_verified"
	NotFresh         Code = "not_fresh"
	LinkOnHold       Code = "link_on_hold"
	UserGone         Code = "user_gone"
	CannotCreate     Code = "cannot_create"
	NotEligible      Code = "not_eligible"
	Conflict         Code = "conflict"
	Unavailable      Code = "unavailable"
)

// Codes lists all codes.
func Codes() []Code {
	return []Code{InvalidJSON, InvalidRequest, NotFound, MethodNotAllowed, Timeout, TooLarge, UnsupportedMedia, Unauthenticated,
		AAL2Required, NotVerified, NotFresh, LinkOnHold, UserGone, CannotCreate, NotEligible, Conflict, Unavailable}
}

// Problem is an answer that is an error. Its message is public.
type Problem struct {
	Status  int
	Code    Code
	Message string

	// Redirect, if not empty, is the page where a browser solves the problem. The answer
	// contains it as redirect_browser_to.
	Redirect string
}

func (p *Problem) Error() string { return string(p.Code) + ": " + p.Message }

// Is reports whether target is the same problem without the Redirect.
func (p *Problem) Is(target error) bool {
	t, ok := target.(*Problem)
	return ok && *t == Problem{p.Status, p.Code, p.Message, ""}
}

// New makes a problem.
func New(status int, code Code, message string) *Problem {
	return &Problem{Status: status, Code: code, Message: message}
}

// Of returns the public form of an error. Every error that is not a known denial is "don't
// know": 503, never 401 and never 404. The error's own text is not shown, except the text
// of a Problem or a ConflictError, which is written for the caller.
func Of(err error) *Problem {
	var p *Problem
	var conflict *symbolon.ConflictError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, symbolon.ErrOnHold):
		return New(403, LinkOnHold, "This account is on hold until an operator has looked at it.")
	case errors.Is(err, symbolon.ErrUserGone):
		return New(403, UserGone, "The user of this account has been deleted.")
	case errors.Is(err, symbolon.ErrCannotCreate):
		return New(403, CannotCreate, "The application cannot make a user for this account.")
	case errors.Is(err, symbolon.ErrDenied):
		return deniedBy(err)
	case errors.Is(err, symbolon.ErrNotEligible):
		return New(403, NotEligible, "The application makes no user for an account of this kind.")
	case errors.As(err, &conflict):
		return New(409, Conflict, conflict.Error())
	case errors.Is(err, symbolon.ErrConflict):
		return New(409, Conflict, "This contradicts a bond that exists.")
	case errors.Is(err, symbolon.ErrNoAdmin):
		return New(409, Conflict, "This needs Ory's admin API: configure ory.admin_url.")
	case errors.Is(err, symbolon.ErrNotFound):
		return New(404, NotFound, "There is no such identity or user.")
	}
	return New(503, Unavailable, "This cannot be answered at the moment. Try again.")
}

// deniedBy is the answer for a user whom the application's own row denies. The code is that of
// the condition.
func deniedBy(err error) *Problem {
	var deny *symbolon.DenyError
	switch {
	case !errors.As(err, &deny) || deny.Code == "":
		return New(503, Unavailable, "This cannot be answered at the moment. Try again.")
	case deny.Code == string(UserGone):
		return Of(symbolon.ErrUserGone)
	}
	return New(403, Code(deny.Code), "The application does not let this account in.")
}

// Write answers with the public form of err. A 503 has Retry-After: 1, because most outages
// are short, and the next request may be answered from a cache.
func Write(w http.ResponseWriter, err error) {
	if Of(err).Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	WriteHook(w, err)
}

// WriteHook is Write for the hooks of Ory. It sets no Retry-After, because Ory obeys it without
// a limit and would keep people waiting.
func WriteHook(w http.ResponseWriter, err error) {
	p := Of(err)
	type body struct {
		Code     Code   `json:"code"`
		Message  string `json:"message"`
		Redirect string `json:"redirect_browser_to,omitempty"`
	}
	JSON(w, p.Status, map[string]body{"error": {p.Code, p.Message, p.Redirect}})
}

// JSON answers with v. No cache may keep an answer, because it is about one person.
func JSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // cannot happen, because our own types can always be marshalled
		status, b = 500, []byte(`{"error":{"code":"unavailable","message":"The answer could not be written."}}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
