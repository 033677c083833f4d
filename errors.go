package symbolon

import (
	"cmp"
	"errors"
	"fmt"
)

// The errors that callers tell apart with [errors.Is]. [ErrUnavailable] means "don't
// know", so that the caller may try again. Every other error is an answer.
var (
	// ErrUnavailable: Ory or the database did not answer. No change is half done.
	ErrUnavailable = errors.New("temporarily unavailable")

	// ErrRateLimited: Ory's rate limit, or the background's share of it, is used up for
	// now, and Ory was not asked. The error also matches ErrUnavailable. If the error has a
	// method Wait() time.Duration, the method says how long to wait.
	ErrRateLimited = errors.New("the rate limit of Ory is reached")

	// ErrNotFound: there is no such identity or user.
	ErrNotFound = errors.New("not found")

	// ErrConflict: the request contradicts a bond that exists.
	ErrConflict = errors.New("conflict")

	// ErrOnHold: the identity gets no user until an operator settles it.
	ErrOnHold = errors.New("link on hold")

	// ErrUserGone: the identity's user was deleted by the application.
	ErrUserGone = errors.New("user gone")

	// ErrCannotCreate: the application's table refused the identity's row.
	ErrCannotCreate = errors.New("user cannot be created")

	// ErrDenied: the application's own row denies its user, by a condition of
	// sqlstore.Users.Deny. The user and its bond stay. DenyError.Code says which condition.
	ErrDenied = errors.New("denied by the application")

	// ErrNotEligible: Ory knows the person, but the person gets no user, because of
	// link.Linker.When.
	ErrNotEligible = errors.New("not eligible for a user")

	// ErrNoAdmin: the call needs Ory's admin API, and no admin URL is configured.
	ErrNoAdmin = errors.New("no admin URL of Ory is configured")
)

// DenyError says why an identity gets no user, or why its user is not handed out. It matches
// ErrOnHold, ErrUserGone, ErrCannotCreate, ErrDenied or ErrNotEligible.
type DenyError struct {
	Identity IdentityID
	Finding  FindingKind // recorded for the operator; empty with ErrDenied and ErrNotEligible
	Code     string      // the code of the condition; with ErrDenied only
	Detail   string      // for the operator; holds no secret and no trait
	Err      error       // ErrOnHold, ErrUserGone, ErrCannotCreate, ErrDenied or ErrNotEligible
}

func (e *DenyError) Error() string {
	if kind := cmp.Or(e.Code, string(e.Finding)); kind != "" {
		return fmt.Sprintf("identity %s: %v (%s): %s", e.Identity, e.Err, kind, e.Detail)
	}
	return fmt.Sprintf("identity %s: %v: %s", e.Identity, e.Err, e.Detail)
}

func (e *DenyError) Unwrap() error { return e.Err }

// TakenError says that the table refused a value of an identity, because the rows of other
// linked identities hold it. [Store.Write] returns it only with [Query.AskHolders], and has
// then written nothing. The caller reads the holders at Ory and calls Write again, with the
// readings in [Query.Others].
type TakenError struct {
	Identity IdentityID
	Holders  []IdentityID // those in Query.Others are left out, unless a newer reading was written meanwhile
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("identity %s: the rows of %d other identities hold its values", e.Identity, len(e.Holders))
}

// ConflictError says which bond a request contradicts. It matches ErrConflict.
type ConflictError struct {
	Identity IdentityID // empty: the request was not about the bond of one identity
	User     UserID     // empty: the request named no user, as Unlink does
	Reason   string
	Movable  bool // a call with BindOptions.Move ends the bond that is in the way
}

func (e *ConflictError) Error() string {
	reason := e.Reason
	if e.Movable {
		reason += "; the option move ends that link"
	}
	if e.Identity == "" {
		return reason
	}
	if e.User == "" {
		return fmt.Sprintf("identity %s: %s", e.Identity, reason)
	}
	return fmt.Sprintf("bind identity %s to user %s: %s", e.Identity, e.User, reason)
}

// Is makes the error match ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
