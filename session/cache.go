package session

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/maypok86/otter/v2"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// key represents a credential in memory, so that no memory dump shows the credential. It is
// the SHA-256 over the keyPrefix and the credential.
type key [sha256.Size]byte

// keyPrefix represents Ory's URL and one kind of credential. It is the first half of the
// SHA-256 over both, each with its length in front. Its own length is fixed, so that no
// byte can move between prefix and credential. It is short, so that the prefix and a
// session token fit into one block of SHA-256.
type keyPrefix [sha256.Size / 2]byte

// keyPrefixes are the prefixes of one Ory, one for each kind of credential.
type keyPrefixes struct{ token, cookie, bearer, tokenised keyPrefix }

func newKeyPrefixes(url string) keyPrefixes {
	of := func(kind ory.Kind) keyPrefix {
		sum := sha256.Sum256(appendPart(appendPart(nil, url), string(kind)))
		return keyPrefix(sum[:])
	}
	return keyPrefixes{of(ory.SessionToken), of(ory.SessionCookie), of(ory.BearerToken), of(TokenisedSession)}
}

func (p *keyPrefixes) of(kind ory.Kind) keyPrefix {
	switch kind {
	case ory.SessionToken:
		return p.token
	case ory.SessionCookie:
		return p.cookie
	case ory.BearerToken:
		return p.bearer
	case TokenisedSession:
		return p.tokenised
	}
	return keyPrefix{} // such a credential is never well-formed, so nothing is cached for it
}

func appendPart(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

func (v *Verifier) key(c ory.Credential) key {
	var room [512]byte // a cookie has about 450 bytes
	prefix := v.prefixes.of(c.Kind)
	return sha256.Sum256(append(append(room[:0], prefix[:]...), c.Value...))
}

// moment is when Ory was asked. The age of an answer is measured from this moment.
type moment struct {
	mono  int64 // of Verifier.mono
	wall  time.Time
	epoch int64 // the epoch of Verifier.purges
}

func (v *Verifier) moment() moment {
	return moment{mono: v.mono(), wall: v.now(), epoch: v.purges.epoch.Load()}
}

// entry is one answer. It is immutable except for the atomic fields, most of which are
// deadlines. Times are values of Verifier.mono.
type entry struct {
	principal *symbolon.Principal // nil: denied says why
	denied    error
	identity  symbolon.IdentityID // to find the purges that concern it; empty: the answer is about no identity
	session   string
	epoch     int64      // the epoch of purges when Ory was asked
	sent      int64      // when Ory was asked
	ends      int64      // when the session ends by itself
	token     *heldToken // the token that it was made from; nil: Ory was asked
	size      uint32     // in bytes, approximately

	until  atomic.Int64 // valid before this moment; only OutageGrace moves it
	renew  atomic.Int64 // a cache hit after this moment asks again in the background
	vetted atomic.Int64 // no purge up to this epoch concerns it
	final  atomic.Bool  // OutageGrace never extends the answer: see contradiction

	checked atomic.Bool // a policy denied it right after Ory was asked
}

// Two times for comparisons: "never" is before every moment, "forever" is after every moment.
const (
	never   = math.MinInt64
	forever = math.MaxInt64
)

// newEntry makes an answer. life is the time for which the answer is valid, and left is the
// time until its session ends. The caller fills in the other fields.
func newEntry(at moment, life, left time.Duration) *entry {
	e := &entry{epoch: at.epoch, sent: at.mono, ends: later(at.mono, left)}
	e.until.Store(later(at.mono, min(life, left)))
	e.renew.Store(forever)
	e.vetted.Store(at.epoch)
	return e
}

// later adds d to mono without overflow.
func later(mono int64, d time.Duration) int64 {
	if int64(d) > forever-mono {
		return forever
	}
	return mono + int64(d)
}

// cached returns an answer that is valid now.
func (v *Verifier) cached(k key, now int64) *entry {
	e, ok := v.cache.GetIfPresent(k)
	if !ok || !e.valid(now) || v.void(e) {
		return nil
	}
	return e
}

// void reports whether a purge concerns the answer, or may concern it. While the broadcast is
// down, purges may be missed, so an answer about a token is void if it was made before the
// broadcast went down. An answer about a session is not void, because Ory was asked about it
// at most MaxStale ago.
func (v *Verifier) void(e *entry) bool {
	return v.purges.cover(e) || e.token != nil && v.broadcastDown.Load() && e.sent <= v.downSince.Load()
}

// valid reports whether the answer may be given now.
func (e *entry) valid(now int64) bool { return now < e.until.Load() }

// overhead is the size of an answer's key and of its slots in the cache's tables and
// queues.
const overhead = 192

// measure sets the size of an answer. rows is the size of the rows that Load added to it.
func (e *entry) measure(rows int) {
	n := overhead + int(unsafe.Sizeof(*e)) + len(e.identity) + len(e.session) + rows
	if p := e.principal; p != nil {
		n += int(unsafe.Sizeof(*p)) + len(p.User.ID) + len(p.Email) + len(p.Session.AAL)
	}
	if t := e.token; t != nil {
		n += t.size()
	}
	e.size = uint32(min(n, math.MaxUint32))
}

// newCache makes a cache that keeps both limits: the weight of an answer is its size, but
// at least bytes/sessions.
func newCache(sessions int, bytes int64) (*otter.Cache[key, *entry], error) {
	share := uint32(min((bytes+int64(sessions)-1)/int64(sessions), math.MaxUint32))
	return otter.New(&otter.Options[key, *entry]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(_ key, e *entry) uint32 { return max(e.size, share) },
	})
}

// purges remembers purges. An answer about a purged identity or session is void if Ory was
// asked before the purge, even if the answer arrives later. A purge is forgotten when every
// answer from before it has expired.
type purges struct {
	epoch atomic.Int64 // counts purges, so that their order does not depend on a clock
	last  atomic.Int64 // the time of the newest purge
	begun atomic.Int64 // the epoch of listen's first purge, which is of everything, but does not concern tokens
	mu    sync.RWMutex // protects of and swept
	of    map[string]purge
	swept int64
}

type purge struct{ epoch, at int64 }

// maxPurges bounds the memory of a mass purge. If there are more, every answer is void.
const maxPurges = 100_000

// everything means every identity and every session.
const everything = "*"

// add voids the answers about id, none of which lives longer than horizon.
func (p *purges) add(id string, now, horizon int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[string]purge{}
	}
	if now-p.swept > horizon {
		p.swept = now
		for id, one := range p.of {
			if now-one.at > horizon {
				delete(p.of, id)
			}
		}
	}
	if len(p.of) >= maxPurges {
		clear(p.of)
		id = everything
	}
	epoch := p.epoch.Load() + 1
	p.of[id] = purge{epoch, now}
	p.last.Store(now)
	p.epoch.Store(epoch)
}

// within reports whether there was a purge within the last d.
func (p *purges) within(now int64, d time.Duration) bool {
	return p.epoch.Load() > 0 && now-p.last.Load() < int64(d)
}

// cover reports whether Ory was asked for an answer before a purge that concerns the
// answer.
func (p *purges) cover(e *entry) bool {
	latest := p.epoch.Load()
	if e.vetted.Load() >= latest {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, id := range [...]string{string(e.identity), e.session, everything} {
		if p.of[id].epoch > e.epoch {
			return true
		}
	}
	e.vetted.Store(latest)
	return false
}
