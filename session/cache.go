package session

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// key stands for a credential wherever one is remembered, so that no memory dump
// shows it: SHA-256 over its length-prefixed parts, the whole of each.
type key [sha256.Size]byte

// prefixes are what the keys of one Ory begin with, by kind.
type prefixes struct{ token, cookie, bearer []byte }

func newPrefixes(url string) prefixes {
	of := func(kind ory.Kind) []byte { return appendPart(appendPart(nil, url), string(kind)) }
	return prefixes{of(ory.SessionToken), of(ory.SessionCookie), of(ory.BearerToken)}
}

func (p *prefixes) of(kind ory.Kind) []byte {
	switch kind {
	case ory.SessionToken:
		return p.token
	case ory.SessionCookie:
		return p.cookie
	case ory.BearerToken:
		return p.bearer
	}
	return nil // such a credential is never well-formed, so nothing is cached for it
}

func appendPart(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

func (v *Verifier) key(c ory.Credential) key {
	var room [640]byte // a cookie has about 450 bytes
	b := append(room[:0], v.prefix.of(c.Kind)...)
	return sha256.Sum256(appendPart(b, c.Value))
}

// entry is one answer, never changed once it is made. Times are of Verifier.mono.
type entry struct {
	principal *symbolon.Principal // nil: denied says why
	denied    error
	identity  symbolon.IdentityID // whom it is about, for purges; empty: nobody
	session   string
	sent      int64 // when Ory was asked
	until     int64 // it counts before this moment
}

// never is before every entry.
const never = math.MinInt64

// cached returns an answer that still counts.
func (v *Verifier) cached(k key) *entry {
	e, ok := v.cache.GetIfPresent(k)
	if !ok || v.mono() >= e.until || v.purges.cover(e) {
		return nil
	}
	return e
}

// purges remembers which answers are void: those about an identity or a session
// that were asked for before it was purged. Answers that are still on their way
// are covered as well. It need not remember longer than an answer can live.
type purges struct {
	latest atomic.Int64 // younger answers need no look
	mu     sync.RWMutex
	at     map[string]int64
	swept  int64
}

// maxPurges bounds the memory of a mass purge. Past it everything is void.
const maxPurges = 100_000

const everything = "*"

// add voids the answers about id. They live no longer than horizon.
func (p *purges) add(id string, clock func() int64, horizon int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := clock()
	if p.at == nil {
		p.at = map[string]int64{}
	}
	if now-p.swept > horizon {
		p.swept = now
		for id, at := range p.at {
			if now-at > horizon {
				delete(p.at, id)
			}
		}
	}
	if len(p.at) >= maxPurges {
		clear(p.at)
		id = everything
	}
	p.at[id] = now
	p.latest.Store(now) // grows: the clock was read under the lock
}

// cover reports whether an answer was asked for before a purge that concerns it.
func (p *purges) cover(e *entry) bool {
	if e.sent > p.latest.Load() {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, id := range [...]string{string(e.identity), e.session, everything} {
		if at, ok := p.at[id]; ok && e.sent <= at {
			return true
		}
	}
	return false
}

// knownSessions remembers which session a credential was once, so that a later
// 401 can be proved. Two generations bound its size and its age without a clock of
// its own: at most twice limit, at least a day unless it overflows.
type knownSessions struct {
	mu      sync.Mutex
	limit   int
	turned  int64
	now, by map[key]string // the younger and the older generation
}

const knownFor = 24 * time.Hour

func newKnownSessions(limit int) *knownSessions {
	return &knownSessions{limit: limit, now: map[key]string{}}
}

func (s *knownSessions) remember(k key, session string, mono int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.now) >= s.limit || mono-s.turned > int64(knownFor) {
		s.by, s.now, s.turned = s.now, map[key]string{}, mono
	}
	s.now[k] = session
}

// ended remembers that a credential's session is over for good.
func (s *knownSessions) ended(k key, mono int64) { s.remember(k, over, mono) }

// over stands for the ID of a session that is proved to be over.
const over = ""

func (s *knownSessions) recall(k key) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.now[k]; ok {
		return id, true
	}
	id, ok := s.by[k]
	return id, ok
}
