package ory

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// ErrNoSession: whoami said 401 in Kratos' own form. That alone proves nothing:
// Kratos says so as well to a valid session while its database does not answer.
var ErrNoSession = errors.New("ory: whoami says that there is no valid session")

// ErrAAL2Required: the session is good, but Ory wants a second factor before it
// says whose it is.
var ErrAAL2Required = errors.New("ory: the session needs a second factor")

// ErrNoAnswer: no answer came: no connection, none in time, one that broke. It goes
// with symbolon.ErrUnavailable. An answer of whatever kind is none of these, and
// neither is a question that was given up.
var ErrNoAnswer = errors.New("no answer came")

// Error is an answer of Ory that is not what was asked for. It matches
// symbolon.ErrNotFound, [ErrNoSession] or [ErrAAL2Required] where that is Kratos'
// own word; nothing where Kratos refused what it was sent (400, 409); and
// symbolon.ErrUnavailable otherwise.
type Error struct {
	Status int    // of HTTP; error.code of the body often says something else
	ID     string // error.id, where there is one: "session_aal2_required"
	Reason string // Ory's words, one short line. They may name Ory's database, never what was sent

	// Redirect is where a browser can do what is missing, of [ErrAAL2Required]: an
	// absolute http(s) URL in visible ASCII, or "".
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

// RateLimited means that Ory said 429, that nothing is left, or that the
// background's share is used up: nothing of the kind is asked until Reset has passed.
// It matches symbolon.ErrRateLimited and symbolon.ErrUnavailable.
type RateLimited struct {
	Reset time.Duration
}

func (e *RateLimited) Error() string {
	return fmt.Sprintf("ory limits the rate of questions: nothing is asked for %s", e.Reset.Round(time.Millisecond))
}

// Wait is Reset, for those who do not know this package.
func (e *RateLimited) Wait() time.Duration { return e.Reset }

func (e *RateLimited) Unwrap() []error {
	return []error{symbolon.ErrRateLimited, symbolon.ErrUnavailable}
}

// unknown is an answer that proves nothing.
func unknown(what string, args ...any) error {
	return fmt.Errorf("ory: "+what+": %w", append(args, symbolon.ErrUnavailable)...)
}

// silent is no answer at all.
func silent(what string, args ...any) error {
	return fmt.Errorf("ory: "+what+": %w: %w", append(args, ErrNoAnswer, symbolon.ErrUnavailable)...)
}

// oneLine makes a stranger's words fit for a log: short, one line, visible.
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
