// Package session answers, for every request, which user it is: middleware for
// net/http, and the forward-auth handler that a proxy asks.
//
//	auth := &session.Verifier{Linker: linker}
//	mux.Handle("/notes", auth.Require(notes)) // inside: u, _ := symbolon.UserFrom(r.Context())
//
// What happens to a request:
//
//	one credential ── none, malformed ──────────────────────────────▶ 401
//	      │
//	      ▼ SHA-256 of (Ory URL, kind, credential)
//	    cache ── an answer younger than MaxStale ──▶ policies ──▶ user, 403
//	      │
//	      ▼ one question in flight per credential
//	    whoami ── complete, active, unexpired ──▶ Linker.Link ──▶ user, 403
//	      │  └─── 401 ──▶ proof (proof.go) ── proved ───────────────▶ 401
//	      ▼                     └─ not proved ─┐
//	    anything else ─────────────────────────┴────────────────────▶ 503
//
// "Don't know" is 503, never 401 and never 200: Kratos says 401 to everybody while
// its database is down, and whoever believes that logs all people out.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// Verifier finds the user of a request. Set the fields before the first call and
// leave them alone afterwards; every method may then be called by many goroutines
// at once. It must not be copied. Only Linker is required.
type Verifier struct {
	Linker *symbolon.Linker

	// Ory is asked whose a session is. Defaults to Linker.Ory if that is an
	// *ory.Client.
	Ory *ory.Client

	// MaxStale is for how long an answer of Ory counts, from the moment the question
	// was sent: no session that was revoked, no identity that was deactivated, and no
	// user whose row was deleted is let in later than that; call Purge to have it at
	// once. Defaults to 10 seconds.
	MaxStale time.Duration

	// MaxSessions bounds the answers that are remembered. Past it those that are
	// least used go first and are asked for again. Defaults to 100,000, which is
	// about 60 MB when full.
	MaxSessions int

	// Headers names the headers in which ForwardAuth answers.
	Headers Headers

	// ErrorFunc answers a request that Require or Optional does not let in, say by a
	// redirect to the login page. What err is can be found with errors.Is:
	// [ErrUnauthenticated] and its neighbours, symbolon.ErrOnHold, ErrUserGone and
	// ErrCannotCreate are answers; everything else is "don't know", and must not be
	// answered by a login page. By default the answer is JSON with status 401, 403
	// or 503.
	ErrorFunc func(w http.ResponseWriter, r *http.Request, err error)

	// Log defaults to slog.Default(). Credentials are never logged.
	Log *slog.Logger

	// Now is the wall clock that session expiry and Fresh are judged by. Defaults to
	// time.Now. How stale an answer is does not depend on it.
	Now func() time.Time

	once    sync.Once
	bad     error // what is wrong with the fields
	ory     *ory.Client
	names   headerNames
	start   time.Time // of the monotonic clock
	prefix  prefixes
	cache   *otter.Cache[key, *entry]
	known   *knownSessions
	purges  purges
	flights flights
	healthy shared
	quiet   atomic.Int64 // when "don't know" was last logged
	base    context.Context
	stop    context.CancelFunc
	unwatch func() // of Linker.Watch
}

const (
	defaultMaxStale    = 10 * time.Second
	defaultMaxSessions = 100_000

	// maxDenied is for how long a "no" is remembered: long enough that nobody makes
	// Ory work by repeating it, short enough that the person whose account has just
	// been settled does not wonder.
	maxDenied = 5 * time.Second

	// patience bounds all questions about one credential together.
	patience = 10 * time.Second
)

// Check reports what is wrong with the fields. It asks nobody; a verifier with
// wrong fields lets nobody in.
func (v *Verifier) Check() error {
	v.once.Do(v.setup)
	return v.bad
}

// Authenticate returns who a request is. The principal is shared: never change it.
//
// Errors: [ErrUnauthenticated], [ErrAAL2Required] and those of the policies;
// *symbolon.DenyError where Ory knows the person but there is no user to hand out;
// symbolon.ErrUnavailable and everything else mean "don't know".
func (v *Verifier) Authenticate(r *http.Request, policies ...Policy) (*symbolon.Principal, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	cred, err := credentialOf(r.Header, v.ory.CookieName())
	if err != nil {
		return nil, err
	}
	return v.Verify(r.Context(), cred, policies...)
}

// Verify is Authenticate for a credential that came by another way.
func (v *Verifier) Verify(ctx context.Context, cred ory.Credential, policies ...Policy) (*symbolon.Principal, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	if len(cred.Value) > maxCookie {
		return nil, ErrUnauthenticated
	}
	k := v.key(cred)
	e := v.cached(k)
	if e == nil {
		if !wellFormed(cred) { // what is cached was
			return nil, ErrUnauthenticated
		}
		var err error
		if e, err = v.fetch(ctx, k, cred, never); err != nil {
			return nil, err
		}
	}
	if e.denied != nil {
		return nil, e.denied
	}
	if len(policies) == 0 {
		return e.principal, nil
	}
	return v.judge(ctx, k, cred, e, policies)
}

// judge applies the policies, for this request alone. Who has just taken the
// second step is not turned away because of what Ory said before: a "no" is
// checked against a new answer, at most once a second for one session.
func (v *Verifier) judge(ctx context.Context, k key, cred ory.Credential, e *entry, policies []Policy) (*symbolon.Principal, error) {
	no := judge(e.principal, policies, v.now())
	if no == nil {
		return e.principal, nil
	}
	if v.mono()-e.sent < int64(time.Second) {
		return nil, no
	}
	fresh, err := v.fetch(ctx, k, cred, e.sent)
	if err != nil {
		return nil, err
	}
	if fresh.denied != nil {
		return nil, fresh.denied
	}
	if no := judge(fresh.principal, policies, v.now()); no != nil {
		return nil, no
	}
	return fresh.principal, nil
}

// Purge forgets what Ory said of an identity's sessions, and makes every question
// that is under way be asked again: after it has returned nobody is let in by an
// older answer.
func (v *Verifier) Purge(id symbolon.IdentityID) { v.purge(string(id)) }

// PurgeSession is Purge for one session.
func (v *Verifier) PurgeSession(id string) { v.purge(id) }

func (v *Verifier) purge(id string) {
	if v.Check() == nil {
		v.forget(symbolon.IdentityID(id))
	}
}

// forget is what the Linker calls when a bond changed.
func (v *Verifier) forget(id symbolon.IdentityID) {
	v.purges.add(string(id), v.mono, int64(v.maxStale()+patience))
}

// Close gives up the questions that are under way and waits for their goroutines.
// Afterwards only what is cached is answered.
func (v *Verifier) Close() {
	v.once.Do(v.setup)
	v.stop()
	v.flights.close()
	if v.unwatch != nil {
		v.unwatch()
	}
}

func (v *Verifier) setup() {
	v.start = time.Now()
	v.base, v.stop = context.WithCancel(context.Background())
	if err := v.wire(); err != nil {
		v.bad = fmt.Errorf("session: %w: %w", err, symbolon.ErrUnavailable)
		v.log().Error("nobody is let in: the session verifier is not set up", "error", err)
	}
}

func (v *Verifier) wire() (err error) {
	if v.names, err = v.Headers.names(); err != nil {
		return err
	}
	if v.Linker == nil {
		return errors.New("Verifier.Linker is not set")
	}
	if v.Linker.Ory == nil || v.Linker.Store == nil {
		return errors.New("Linker.Ory or Linker.Store is not set")
	}
	v.ory = v.Ory
	if v.ory == nil {
		v.ory, _ = v.Linker.Ory.(*ory.Client)
	}
	if v.ory == nil {
		return errors.New("Verifier.Ory is not set, and Linker.Ory is not an *ory.Client")
	}
	if err := v.ory.Check(); err != nil {
		return err
	}
	v.prefix = newPrefixes(v.ory.PublicURL)
	limit := v.MaxSessions
	if limit <= 0 {
		limit = defaultMaxSessions
	}
	v.known = newKnownSessions(limit)
	if v.cache, err = otter.New(&otter.Options[key, *entry]{MaximumSize: limit}); err != nil {
		return err
	}
	v.unwatch = v.Linker.Watch(v.forget)
	return nil
}

func (v *Verifier) maxStale() time.Duration {
	if v.MaxStale <= 0 {
		return defaultMaxStale
	}
	return v.MaxStale
}

// mono is the clock that staleness is measured by: nobody can set it.
func (v *Verifier) mono() int64 { return int64(time.Since(v.start)) }

func (v *Verifier) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}

func (v *Verifier) log() *slog.Logger {
	if v.Log != nil {
		return v.Log
	}
	return slog.Default()
}
