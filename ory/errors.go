package ory

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// ErrNoSession: whoami answered 401 in Kratos' own format. This proves nothing by itself,
// because Kratos also answers 401 to a valid session while its database is down.
var ErrNoSession = errors.New("ory: whoami says that there is no valid session")

// ErrAAL2Required: the session is valid, but Ory names its identity only after a second
// factor.
var ErrAAL2Required = errors.New("ory: the session needs a second factor")

// ErrNoAnswer: there was no connection, or it broke, or no answer came in time. The error
// also matches symbolon.ErrUnavailable. A wrong answer is not ErrNoAnswer, and neither is a
// request that its caller cancelled.
var ErrNoAnswer = errors.New("no answer came")

// Error is an answer of Ory that is not the expected one. It matches symbolon.ErrNotFound,
// [ErrNoSession] or [ErrAAL2Required] if Kratos said so in its own format. It matches none
// of these errors if Kratos refused the request (400, 409). Otherwise it matches
// symbolon.ErrUnavailable.
type Error struct {
	Status int    // the HTTP status; error.code in the body is often different
	ID     string // error.id, if there is one: "session_aal2_required"
	Reason string // Ory's own text, one short line. It may name Ory's database, but contains no secret

	// Redirect is set for [ErrAAL2Required] only: the page where a browser can give the
	// second factor. It is an absolute http(s) URL in visible ASCII, or "".
	Redirect string

	kind error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("ory answered %d", e.Status)
	if e.ID != "" {
		s += " " + e.ID
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

func (e *Error) Unwrap() error { return e.kind }

// RateLimited means that Ory answered 429, or that the limit or the background's share of
// it is used up. No request of this kind is sent until Reset has passed. The error matches
// symbolon.ErrRateLimited and symbolon.ErrUnavailable.
type RateLimited struct {
	Reset time.Duration
}

func (e *RateLimited) Error() string {
	return fmt.Sprintf("ory limits the rate of questions: nothing is asked for %s", e.Reset.Round(time.Millisecond))
}

// Wait returns Reset, for callers that do not import this package.
func (e *RateLimited) Wait() time.Duration { return e.Reset }

func (e *RateLimited) Unwrap() []error {
	return []error{symbolon.ErrRateLimited, symbolon.ErrUnavailable}
}

// unknown is the error of an answer that proves nothing.
func unknown(what string, args ...any) error {
	return fmt.Errorf("ory: "+what+": %w", append(args, symbolon.ErrUnavailable)...)
}

// oneLine makes foreign text safe for a log: short, one line, visible ASCII.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		if r > 0x7e {
			return '?'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	return s
}
