// Package session is middleware for net/http that finds out, for every request, which user
// sent it. Package forwardauth uses this package to answer proxies. Package session/jwt
// verifies Ory's tokens for this package.
//
//	auth := &session.Verifier{Linker: linker}
//	mux.Handle("/notes", auth.Require(notes)) // inside: u, _ := symbolon.UserFrom(r.Context())
//
// A request is answered in these steps:
//
//	one credential ── none, malformed ──────────────────────────────▶ 401
//	      │
//	      ▼ SHA-256 of (Ory URL, kind, credential)
//	    cache ── an answer that is valid now (fresh.go) ──▶ policies ──▶ user, 403
//	      │
//	      ▼ one question in flight per credential
//	    whoami ── complete, active, unexpired ──▶ Linker.Link ──▶ user, 403
//	      │  └─── 401 ──▶ proof (proof.go) ── proved ───────────────▶ 401
//	      ▼                     └─ not proved ─┐
//	    anything else ─────────────────────────┴────────────────────▶ 503
//
// "Don't know" is 503, never 401 and never 200. Kratos answers 401 to every session while
// its database is down; believing these answers would log everybody out.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/internal/flight"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/internal/turn"
	"github.com/symbolon-id/symbolon/session/jwt"
)

// Verifier finds the user of a request. Set the fields before the first call and do not
// change them afterwards. Every method may then be called by many goroutines at once. A
// Verifier must not be copied. Only Linker is required.
type Verifier struct {
	Linker *link.Linker

	// Ory is the client that asks for sessions. Defaults to Linker.Ory if that is an
	// *ory.Client.
	Ory *ory.Client

	// MaxStale is how long an answer of Ory is used, measured from the moment when the
	// question was sent. A revoked session, a deactivated identity and a user whose row was
	// deleted or denies it are refused after this time at the latest, and at once after a Purge. Answers
	// that are in use are refreshed earlier, in the background. [Verifier.Bound] takes the
	// other settings into account. Defaults to 10 seconds.
	MaxStale time.Duration

	// OutageGrace is how long beyond MaxStale an answer is used while Ory does not answer.
	// People who are signed in stay signed in. Danger: a person who was signed out at Ory
	// just before the outage stays in as well. A session that was purged, or that Ory
	// denied, never gets this grace. Defaults to 0.
	OutageGrace time.Duration

	// MaxSessions is the greatest number of answers in the cache. If there are more, the
	// least used answers are dropped, and Ory is asked again when they are needed. Defaults
	// to 100,000, about 70 MB when full (700 bytes each).
	MaxSessions int

	// MaxBytes bounds the approximate memory of the answers. Defaults to 1 kB for each of
	// MaxSessions.
	MaxBytes int64

	// Memory, if set, tells replicas the session of each credential, so that they can check
	// a 401. Without it a process knows only the sessions that it has seen itself.
	Memory Memory

	// Broadcast, if set, sends every purge to the other replicas. Without it they learn
	// of a revocation within MaxStale.
	Broadcast Broadcast

	// TrustedProxies are the peers whose X-Forwarded-For is believed. It must be empty unless
	// each of them sets this header or adds its peer to it. While Ory's rate limit is too low
	// for all questions, the clients take turns with new credentials. A client is known by its
	// address. Without TrustedProxies this is the peer's address, so all clients behind a
	// proxy count as one client.
	TrustedProxies []netip.Prefix

	// ClientAddress, if set, returns the client's address for a call of Verify. It gets the
	// context of the call. grpcauth.ClientAddress is for gRPC. Without it all calls of Verify
	// count as one client. It is only called if Ory has to be asked.
	ClientAddress func(ctx context.Context) netip.Addr

	// Tokens, if set, verifies Ory's own tokenised sessions by their signature, without
	// asking Ory. If Tokens is nil, a JWT is treated as the application's own token and not
	// as a session.
	Tokens *jwt.Verifier

	// ErrorFunc answers a request that Require or Optional does not let in, for example by
	// a redirect to the login page. errors.Is finds the reason: the errors of this package,
	// symbolon.ErrOnHold, ErrUserGone, ErrCannotCreate, ErrDenied and ErrNotEligible are
	// denials. Every other error is "don't know", and must not be answered with a login
	// page. Defaults to JSON with status 401, 403 or 503.
	ErrorFunc func(w http.ResponseWriter, r *http.Request, err error)

	// Log defaults to slog.Default(). Credentials are never logged.
	Log *slog.Logger

	// Now is the wall clock for the expiry of sessions and for Fresh. Defaults to
	// time.Now. The age of an answer does not depend on it.
	Now func() time.Time

	// Written by setup under once, and only read afterwards.
	once     sync.Once
	bad      error // what is wrong with the fields
	ory      *ory.Client
	prefixes keyPrefixes
	keys     *jwt.Keys // the keys for Tokens; nil without Tokens
	start    time.Time // the zero of mono
	base     context.Context
	stop     context.CancelFunc // cancels base, and with it every question under way
	unwatch  func()             // the stop of Linker.Watch

	// The answers. Each of the three fields has its own lock. Requests read all of them.
	// cache and known are written only by the calls that run in flights (one for each
	// credential). Purge, the Linker and listen write purges.
	cache  *otter.Cache[key, *entry]
	known  *knownSessions
	purges purges

	// The questions to Ory. Each group, and breaker, has its own lock; the two channels are
	// semaphores. join locks joining while it decides whether to begin a new question. A
	// call that runs in flights uses the fields below: slots, strangerSlots, breaker, probes
	// and healthy.
	joining       sync.Mutex
	flights       flight.Group[key, *entry] // at most one question for a credential
	slots         chan struct{}             // one slot for each question
	strangerSlots chan struct{}             // one more slot for each question about a credential that was never valid
	line          turn.Line                 // where questions wait while Ory's rate limit is used up
	breaker       breaker
	probes        flight.Group[int64, ory.Session] // questions while the breaker is open, by the time when they began
	health        health                           // proofs that Ory has no fault

	// The data that replicas share. Each outbox has its own lock, and requests only put
	// items into it. listen runs in one goroutine, which alone sets broadcastDown to
	// false and closes replayed.
	memoryOut     outbox[[32]byte, string] // to Memory
	purgesOut     outbox[string, struct{}] // to Broadcast
	listening     sync.WaitGroup
	broadcastDown atomic.Bool
	downSince     atomic.Int64  // of mono: when broadcastDown became true
	replayed      chan struct{} // closed once the purges from before the start have arrived

	// The rows of Load. loadersMu protects writes; requests read the pointer.
	loadersMu sync.Mutex
	loaders   atomic.Pointer[[]loader]

	// Counters, and when each kind of warning was last logged. All are atomic.
	count                                                                         counters
	warned, warnedMemory, warnedPurges, warnedBroadcast, warnedKeys, warnedTokens atomic.Int64
}

const (
	defaultMaxStale    = 10 * time.Second
	defaultMaxSessions = 100_000

	// maxDenied is how long a denial is cached. With this cache a client that repeats its
	// request costs Ory nothing. The time is short, because an account may just have been
	// released from hold.
	maxDenied = 5 * time.Second

	// questionTimeout bounds the total time of all questions about one credential.
	questionTimeout = 10 * time.Second

	// answerTimeout bounds one call of Verify. Such a call may need several questions one after
	// another, because a purge makes an answer void, or a policy denies the request. It is
	// longer than questionTimeout, so that a caller learns how a single question ended.
	answerTimeout = questionTimeout + time.Second
)

// Check reports errors in the fields, without any network call. A verifier with wrong
// fields lets nobody in.
func (v *Verifier) Check() error {
	v.once.Do(v.setup)
	return v.bad
}

// Authenticate returns the principal of a request. The principal is shared and must not be
// changed.
//
// Errors: [ErrUnauthenticated], [ErrAAL2Required] and the errors of the policies;
// *symbolon.DenyError if Ory knows the person but the person has no user;
// symbolon.ErrUnavailable and everything else mean "don't know".
func (v *Verifier) Authenticate(r *http.Request, policies ...Policy) (*symbolon.Principal, error) {
	cred, err := v.Credential(r.Header)
	if err != nil {
		return nil, err
	}
	return v.verify(r.Context(), r, cred, policies)
}

// Credential finds the one credential of a header in canonical form, for protocols that
// have headers but no http.Request, such as gRPC. It returns the first of these that the
// header has: X-Session-Token, Ory's session cookie, a Bearer token that Ory made. The
// error is [ErrUnauthenticated] if the header has none of them, or if the first one has two
// values.
func (v *Verifier) Credential(h http.Header) (ory.Credential, error) {
	if err := v.Check(); err != nil {
		return ory.Credential{}, err
	}
	return credentialOf(h, v.ory.CookieName())
}

// Verify is Authenticate for a credential that [Verifier.Credential] found, or that did not
// come in a request. See also ClientAddress.
func (v *Verifier) Verify(ctx context.Context, cred ory.Credential, policies ...Policy) (*symbolon.Principal, error) {
	return v.verify(ctx, nil, cred, policies)
}

// verify verifies a credential. r is the request that it came in, or nil.
func (v *Verifier) verify(ctx context.Context, r *http.Request, cred ory.Credential, policies []Policy) (*symbolon.Principal, error) {
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
	case !v.plausible(cred): // a cached credential was plausible
		return nil, ErrUnauthenticated
	default:
		return v.verifyAtOry(v.withOrigin(ctx, r), k, cred, policies)
	}
	return v.judge(patience{ctx, nil}, k, cred, e, policies)
}

// verifyAtOry verifies a credential about which there is no cached answer.
func (v *Verifier) verifyAtOry(ctx context.Context, k key, cred ory.Credential, policies []Policy) (*symbolon.Principal, error) {
	wait, stop := waitFor(ctx)
	defer stop()
	e, err := v.fetch(wait, k, cred, never)
	if err != nil {
		if e = v.grace(k, err); e == nil {
			return nil, err
		}
	}
	return v.judge(wait, k, cred, e, policies)
}

// judge turns an answer into the result of a request.
func (v *Verifier) judge(wait patience, k key, cred ory.Credential, e *entry, policies []Policy) (*symbolon.Principal, error) {
	if e.denied != nil {
		return nil, e.denied
	}
	if len(policies) == 0 {
		return e.principal, nil
	}
	return v.checkPolicies(wait, k, cred, e, policies)
}

// checkPolicies applies the policies of this request. Before a policy denies the request,
// the session is read from Ory once more, at most once a second for one session. Otherwise
// a person who has just completed the second factor would be refused because of a cached
// AAL1.
func (v *Verifier) checkPolicies(wait patience, k key, cred ory.Credential, e *entry, policies []Policy) (*symbolon.Principal, error) {
	if firstDenial(e.principal, policies, v.now()) == nil {
		return e.principal, nil
	}
	if wait.late == nil { // one limit for both questions, if the first one began before this request
		var stop func()
		wait, stop = waitFor(wait.ctx)
		defer stop()
	}
	began := v.mono()
	for {
		denial := firstDenial(e.principal, policies, v.now())
		if denial == nil {
			return e.principal, nil
		}
		if e.sent >= began || e.checked.Load() && began-e.sent < int64(time.Second) {
			e.checked.Store(true)
			return nil, denial
		}
		fresh, err := v.fetch(wait, k, cred, e.sent)
		if err != nil {
			return nil, err
		}
		if fresh.denied != nil {
			return nil, fresh.denied
		}
		e = fresh
	}
}

// Close cancels the questions that are under way, sends the sessions and purges that are
// pending for other replicas, and waits for its goroutines. It waits for up to 2 seconds,
// and 2 more if the database does not answer a commit. Afterwards only cached answers are
// given.
func (v *Verifier) Close() {
	v.once.Do(v.setup)
	v.stop()
	v.flights.Close()
	v.health.group.Close()
	v.probes.Close() // last, because a call in flights begins probes
	if v.keys != nil {
		v.keys.Close()
	}
	if v.unwatch != nil {
		v.unwatch()
	}
	v.listening.Wait()
	v.memoryOut.close()
	v.purgesOut.close()
}

func (v *Verifier) setup() {
	v.start = time.Now()
	v.base, v.stop = context.WithCancel(context.Background())
	v.flights.Timeout, v.flights.Log = questionTimeout, v.log()
	v.probes.Timeout, v.probes.Log = questionTimeout, v.log()
	v.health.group.Timeout, v.health.group.Log = questionTimeout, v.log()
	if err := v.wire(); err != nil {
		v.bad = fmt.Errorf("session: %w: %w", err, symbolon.ErrUnavailable)
		v.log().Error("every request gets 503: the session verifier is not configured correctly", "error", err)
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
	v.prefixes = newKeyPrefixes(v.ory.PublicURL)
	v.slots, v.strangerSlots = make(chan struct{}, maxAsking), make(chan struct{}, maxStrangersAsking)
	limit := defaults.Positive(v.MaxSessions, defaultMaxSessions)
	bytes := defaults.Positive(v.MaxBytes, int64(limit)<<10)
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

// share starts the exchange of sessions and purges with the other replicas.
func (v *Verifier) share() {
	if v.Memory != nil {
		o := &v.memoryOut
		o.send, o.delay, o.capacity, o.stop = v.Memory.Remember, writeDelay, maxMemoryPending, make(chan struct{})
		o.failed = func(err error) {
			v.warnEvery(outageWarning, &v.warnedMemory, "sessions cannot be written to Memory; the verifier tries again", err)
		}
	}
	if v.Broadcast != nil {
		o := &v.purgesOut
		o.send = func(ctx context.Context, ids map[string]struct{}) error {
			return v.Broadcast.Tell(ctx, slices.Collect(maps.Keys(ids)))
		}
		o.capacity, o.stop = maxPurges, make(chan struct{})
		o.failed = func(err error) {
			v.warnEvery(outageWarning, &v.warnedPurges, "purges cannot be sent to other replicas; the verifier tries again", err)
		}
		v.replayed = make(chan struct{})
		v.listening.Go(v.listen)
	}
}

// mono is the clock for the age of answers. Setting the wall clock does not change it.
func (v *Verifier) mono() int64 { return int64(time.Since(v.start)) }

func (v *Verifier) now() time.Time { return defaults.Now(v.Now) }

func (v *Verifier) log() *slog.Logger { return cmp.Or(v.Log, slog.Default()) }
