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
//	    cache ── an answer that still counts (fresh.go) ──▶ policies ──▶ user, 403
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
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/jwt"
)

// Verifier finds the user of a request. Set the fields before the first call and
// leave them alone afterwards; every method may then be called by many goroutines
// at once. It must not be copied. Only Linker is required.
type Verifier struct {
	Linker *link.Linker

	// Ory is asked whose a session is. Defaults to Linker.Ory if that is an
	// *ory.Client.
	Ory *ory.Client

	// MaxStale is for how long an answer of Ory counts, from the moment the question
	// was sent: no session that was revoked, no identity that was deactivated, and no
	// user whose row was deleted is let in later than that; call Purge to have it at
	// once. Answers that are in use are asked for again before, in the background.
	// Defaults to 10 seconds. [Verifier.Bound] says what follows from all settings.
	MaxStale time.Duration

	// OutageGrace is for how long beyond MaxStale an answer counts while Ory does not
	// answer: whoever is signed in stays so, and whoever was signed out at Ory just
	// before the outage as well. Never a session that was purged or that Ory said no
	// to. Defaults to 0.
	OutageGrace time.Duration

	// MaxSessions bounds the answers that are remembered. Past it those that are
	// least used go first and are asked for again. Defaults to 100,000, which is
	// about 70 MB when full: 700 bytes each.
	MaxSessions int

	// MaxBytes bounds what they take up, about. Defaults to 1 kB for each of
	// MaxSessions.
	MaxBytes int64

	// Memory, where there is one, is shared by replicas: which session each
	// credential was, to prove a 401 by. Without it a process knows what it has seen
	// itself.
	Memory Memory

	// Broadcast, where there is one, tells other replicas of every purge. Without it
	// they learn of a revocation within MaxStale.
	Broadcast Broadcast

	// Tokens, where it is set, has Ory's own tokenised sessions verified by their
	// signature, without asking Ory. Nil: a JWT is the application's own, and nobody's
	// session.
	Tokens *jwt.Verifier

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
	start   time.Time // of the monotonic clock
	doors   doors
	cache   *otter.Cache[key, *entry]
	known   *knownSessions
	purges  purges
	flights flights
	asking  chan struct{} // a place for each question to Ory

	strangers chan struct{} // and one for each of a credential that was never seen to be good
	breaker   breaker
	healthy   shared
	base      context.Context
	stop      context.CancelFunc
	unwatch   func() // of Linker.Watch

	loadersMu sync.Mutex
	loaders   atomic.Pointer[[]loader]

	notes   outbox[key, string]      // to Memory
	told    outbox[string, struct{}] // to Broadcast
	hearing sync.WaitGroup
	deaf    atomic.Bool
	caught  chan struct{} // closed once it is heard what was told before the start

	count                         counters
	quiet, quietUntold, quietDeaf atomic.Int64 // when it was last logged

	keys                   *jwt.Keys // of Tokens; nil: there are none
	quietKeys, quietTokens atomic.Int64
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
	cred, err := v.Credential(r.Header)
	if err != nil {
		return nil, err
	}
	return v.Verify(r.Context(), cred, policies...)
}

// Credential finds the one credential of a header, in canonical form: for what is no
// http.Request but has headers, as gRPC has. X-Session-Token is looked at first, then
// Ory's session cookie, then a Bearer token of Ory's, and nothing after the first one
// that is there. [ErrUnauthenticated] where there is none, or one with two values.
func (v *Verifier) Credential(h http.Header) (ory.Credential, error) {
	if err := v.Check(); err != nil {
		return ory.Credential{}, err
	}
	return credentialOf(h, v.ory.CookieName())
}

// Verify is Authenticate for a credential that came by another way, or was found by
// [Verifier.Credential].
func (v *Verifier) Verify(ctx context.Context, cred ory.Credential, policies ...Policy) (*symbolon.Principal, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	if len(cred.Value) > maxCookie {
		return nil, ErrUnauthenticated
	}
	k, now := v.key(cred), v.mono()
	e := v.cached(k, now)
	switch {
	case e != nil:
		v.keepFresh(k, cred, e, now)
	case !v.plausible(cred): // what is cached was
		return nil, ErrUnauthenticated
	default:
		var err error
		if e, err = v.fetch(ctx, k, cred, never); err != nil {
			if e = v.grace(k, err); e == nil {
				return nil, err
			}
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

// judge applies the policies, for this request alone. Who has just taken the second
// step is not turned away because of what Ory said before: a "no" is checked against an
// answer to a question that was sent since, at most once a second for one session.
func (v *Verifier) judge(ctx context.Context, k key, cred ory.Credential, e *entry, policies []Policy) (*symbolon.Principal, error) {
	began := v.mono()
	for {
		no := judge(e.principal, policies, v.now())
		if no == nil {
			return e.principal, nil
		}
		if e.sent >= began || e.checked.Load() && began-e.sent < int64(time.Second) {
			e.checked.Store(true)
			return nil, no
		}
		fresh, err := v.fetch(ctx, k, cred, e.sent)
		if err != nil {
			return nil, err
		}
		if fresh.denied != nil {
			return nil, fresh.denied
		}
		e = fresh
	}
}

// Close gives up the questions that are under way, tells other replicas what they
// have not been told yet, and waits for its goroutines: 2 seconds, and 2 more for a
// database that does not answer to a commit.
// Afterwards only what is cached is answered.
func (v *Verifier) Close() {
	v.once.Do(v.setup)
	v.stop()
	v.flights.close()
	if v.keys != nil {
		v.keys.Wait()
	}
	if v.unwatch != nil {
		v.unwatch()
	}
	v.hearing.Wait()
	v.notes.close()
	v.told.close()
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
	v.doors = newDoors(v.ory.PublicURL)
	v.asking, v.strangers = make(chan struct{}, maxAsking), make(chan struct{}, maxStrangersAsking)
	limit, bytes := v.MaxSessions, v.MaxBytes
	if limit <= 0 {
		limit = defaultMaxSessions
	}
	if bytes <= 0 {
		bytes = int64(limit) << 10
	}
	v.known = newKnownSessions(limit)
	if v.cache, err = newCache(limit, bytes); err != nil {
		return err
	}
	if err := v.wireTokens(); err != nil {
		return err
	}
	v.unwatch = v.Linker.Watch(func(id symbolon.IdentityID) { v.purge(string(id)) })
	v.share()
	return nil
}

// share connects the verifier with the other replicas.
func (v *Verifier) share() {
	if v.Memory != nil {
		v.notes.send, v.notes.delay, v.notes.capacity = v.remember, writeDelay, maxUnwritten
		v.notes.failed = func(err error) {
			v.complain(&v.quietUntold, "what is known of sessions cannot be written: it is tried again", err)
		}
	}
	if v.Broadcast != nil {
		v.told.send, v.told.capacity = v.tell, maxPurges
		v.told.failed = func(err error) {
			v.complain(&v.quietUntold, "other replicas cannot be told whom to forget: it is tried again", err)
		}
		v.caught = make(chan struct{})
		v.hearing.Go(v.hear)
	}
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
