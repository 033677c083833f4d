// Package hooks answers the web hooks that Ory sends ("Ory Actions"), and writes the Ory
// configuration that makes Ory send them.
//
//	registration:  form ──► reserve ──► INSERT identity ──► link ──► first request
//	                        (may be     (the ID is in it)   (may be   (links, if
//	                        left out)                       lost)     link did not)
//	settings, verification, recovery:  change ──► sync
//	sign-in by OIDC or SAML:           change ──► sync (update_identity_on_login: automatic)
//
// Reserve is the only hook that a person waits for. It mints an ID with an HMAC that proves
// where the ID comes from, so it stores nothing and needs neither a database nor Ory. If the
// database makes the IDs, it draws one, and waits a second at most. If the sign-up form has an
// invite, it reads the invite's user, and waits a second at most. Link
// and sync are hints: each makes Symbolon read the identity at Ory. A repeated, forged or
// late hint can only cause this reading. After a lost link hint the first request makes the
// bond.
package hooks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/ascii"
	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/link"
)

// KeyHeader is the header in which Ory sends the key of a route. The value of the header is
// the key and nothing else.
const KeyHeader = "X-Symbolon-Key"

// MaxBody bounds the body of a request, in bytes.
const MaxBody = 64 << 10

// Keys are the keys of each route: one, or up to three while they are rotated. Ory sends the
// first one. Routes share no key, so that a key that leaks from the log of one hook is not
// accepted by another route.
type Keys struct {
	Reserve, Link, Sync []string
}

// maxKeys is the largest number of keys of a route: the current, the next and the previous
// one.
const maxKeys = 3

// DeriveKeys makes keys from the first three secrets, the current one first.
func DeriveKeys(secrets []symbolon.Secret) Keys {
	return Keys{deriveKeys(secrets, "reserve"), deriveKeys(secrets, "link"), deriveKeys(secrets, "sync")}
}

func deriveKeys(secrets []symbolon.Secret, route string) (keys []string) {
	for _, s := range secrets[:min(maxKeys, len(secrets))] {
		keys = append(keys, base64.RawURLEncoding.EncodeToString(s.Derive("hook/"+route)))
	}
	return keys
}

// orDerived fills in derived keys for the routes without a key.
func (k Keys) orDerived(secrets []symbolon.Secret) Keys {
	d := DeriveKeys(secrets)
	if len(k.Reserve) == 0 {
		k.Reserve = d.Reserve
	}
	if len(k.Link) == 0 {
		k.Link = d.Link
	}
	if len(k.Sync) == 0 {
		k.Sync = d.Sync
	}
	return k
}

// Check reports every error in the keys. Its error contains no key.
func (k Keys) Check() error {
	var faults []error
	owner := map[string]string{}
	for _, r := range []struct {
		route string
		keys  []string
	}{{"reserve", k.Reserve}, {"link", k.Link}, {"sync", k.Sync}} {
		if n := len(r.keys); n == 0 || n > maxKeys {
			faults = append(faults, fmt.Errorf("hook %s has %d keys: give it one, or up to three while they are rotated", r.route, n))
		}
		for i, key := range r.keys {
			if err := checkKey(key); err != nil {
				faults = append(faults, fmt.Errorf("hook %s, key %d: %w", r.route, i+1, err))
			} else if other := owner[key]; other != "" {
				faults = append(faults, fmt.Errorf("hook %s, key %d: hook %s has the same key; each route needs its own", r.route, i+1, other))
			}
			owner[key] = r.route
		}
	}
	return errors.Join(faults...)
}

func checkKey(key string) error {
	if !ascii.Visible(key) {
		return errors.New("a key must be visible ASCII without spaces, because it is sent in a header")
	}
	_, err := symbolon.ParseSecret(key)
	return err
}

// Handler answers Ory's hooks. Set the fields before the first request. Linker is required.
// Keys or Linker.Secrets is required as well.
type Handler struct {
	Linker *link.Linker

	// Keys are accepted by the routes. A route without a key gets keys derived from
	// Linker.Secrets.
	Keys Keys

	// Timeout bounds link and sync. Defaults to 2 seconds. After a failure Ory calls the
	// hook again, at most twice: a second later, and two seconds after that.
	Timeout time.Duration

	// Queue, if set, stores a hint that cannot be followed now, because Ory or the database
	// does not answer or the background's share of Ory's rate limit is used up. Queue must
	// return nil only if the hint survives a crash; the hook then answers 200. Without
	// Queue the hook answers 503, and Ory calls it again, at most twice.
	Queue func(ctx context.Context, id symbolon.IdentityID, source symbolon.Source) error

	// Observe, if set, is called for every answer with the route ("reserve", "link",
	// "sync") and the outcome: one of the constants from [Reserved] to [Undetermined].
	Observe func(route, outcome string)

	// Log defaults to slog.Default(). Bodies and keys are never logged.
	Log *slog.Logger

	once    sync.Once
	digests map[string][][32]byte
}

// The outcomes that Observe gets.
const (
	Reserved     = "reserved"     // reserve: an ID was minted or drawn
	Passed       = "passed"       // reserve: no ID is to be reserved; the registration goes on
	Undrawn      = "undrawn"      // reserve: the database gave no ID in time; the registration goes on
	Invited      = "invited"      // reserve: an invite names the identity's user
	Uninvited    = "uninvited"    // reserve: the invite cannot be used; the registration goes on with a user of its own
	Unreadable   = "unreadable"   // reserve: the body could not be read; the registration goes on
	Done         = "done"         // link, sync: the bond is as it should be
	Denied       = "denied"       // link, sync: the identity gets no user, or the application denies its user
	Gone         = "gone"         // link, sync: Ory no longer has the identity
	Queued       = "queued"       // link, sync: stored by Queue
	Ignored      = "ignored"      // sync without an admin URL
	Refused      = "refused"      // wrong key, method or body
	Undetermined = "undetermined" // Ory or the database did not answer: 503
)

// Check reports every error in the keys. Call it at the start.
func (h *Handler) Check() error {
	return h.Keys.orDerived(h.Linker.Secrets).Check()
}

// Mount adds the three routes to a mux, below /hooks/.
func (h *Handler) Mount(mux *http.ServeMux) {
	mux.Handle("/hooks/reserve", h.Reserve())
	mux.Handle("/hooks/link", h.Link())
	mux.Handle("/hooks/sync", h.Sync())
}

// Reserve answers the hook that Ory waits for before it stores an identity.
func (h *Handler) Reserve() http.Handler { return h.guard("reserve", h.reserve) }

// Link answers the hook that Ory sends after it stored an identity.
func (h *Handler) Link() http.Handler { return h.guard("link", h.link) }

// Sync answers the hook that Ory sends after settings, verification and recovery, and after
// sign-ins by OIDC or SAML.
func (h *Handler) Sync() http.Handler { return h.guard("sync", h.sync) }

// guard passes on a POST that has the route's key. It checks the key before it reads the
// body.
func (h *Handler) guard(route string, next http.HandlerFunc) http.Handler {
	return answer.Method(http.MethodPost, func(w http.ResponseWriter, r *http.Request) {
		if !h.authorised(route, r.Header) {
			w.Header().Set("Connection", "close") // so that the body of an unknown caller is not read
			h.fail(w, route, Refused, answer.New(401, answer.Unauthenticated, "The hook's key is missing or wrong."))
			return
		}
		next(w, r)
	})
}

// authorised compares the digest of the key with all digests of the route, in constant
// time. A route that has neither its own nor a derived key refuses every request.
func (h *Handler) authorised(route string, header http.Header) bool {
	h.once.Do(h.prepare)
	values := header.Values(KeyHeader)
	given := ""
	if len(values) == 1 {
		given = values[0]
	}
	sum := sha256.Sum256([]byte(given))
	ok := 0
	for _, d := range h.digests[route] {
		ok |= subtle.ConstantTimeCompare(sum[:], d[:])
	}
	return ok == 1 && given != ""
}

func (h *Handler) prepare() {
	keys := h.Keys.orDerived(h.Linker.Secrets)
	h.digests = map[string][][32]byte{}
	for route, list := range map[string][]string{"reserve": keys.Reserve, "link": keys.Link, "sync": keys.Sync} {
		for _, key := range list {
			if checkKey(key) == nil {
				h.digests[route] = append(h.digests[route], sha256.Sum256([]byte(key)))
			}
		}
	}
}

func (h *Handler) fail(w http.ResponseWriter, route, outcome string, err error) {
	h.observe(route, outcome)
	answer.WriteHook(w, err)
}

func (h *Handler) observe(route, outcome string) {
	if h.Observe != nil {
		h.Observe(route, outcome)
	}
}

func (h *Handler) log() *slog.Logger { return cmp.Or(h.Log, slog.Default()) }

func (h *Handler) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, h.timeout())
}

func (h *Handler) timeout() time.Duration { return defaults.Positive(h.Timeout, 2*time.Second) }
