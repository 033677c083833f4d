package jwt

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// Keys verifies tokens with the keys of a Verifier, and reads the keys again when that
// may tell more:
//
//	kid is there ───────────────────────────────▶ the key; a set older than keysAge is
//	     │ no                                       read again in the background
//	     ▼
//	the set was read after the token was made ──▶ there is no such key: refused
//	     │ no
//	     ▼ one reading at a time, at most one in keysPause
//	read ── the key is there, or not ───────────▶ the key, or refused
//	  └──── cannot be read, or not now ─────────▶ don't know
//
// Keys may be used by many goroutines at once.
type Keys struct {
	verifier *Verifier
	read     func(context.Context) ([]byte, error)
	ctx      context.Context // ends every reading
	now      func() time.Time
	start    time.Time // of the monotonic clock
	failed   func(error)

	// Each is atomic by itself.
	set        atomic.Pointer[keySet] // nil: not read yet
	faults     atomic.Uint64
	signatures atomic.Uint64

	mu      sync.Mutex // protects running and next
	running *reading
	next    int64 // no reading begins before
	wg      sync.WaitGroup
}

// reading is one that is under way.
type reading struct {
	done chan struct{}
	set  *keySet
	err  error
}

const (
	keysPause   = 10 * time.Second // between two readings
	keysRetry   = time.Second      // after one that failed
	keysAge     = 10 * time.Minute
	keysTimeout = 5 * time.Second
)

const inline = "base64://"

// isURL reports whether a source is read over HTTP.
func isURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

// faultOfSource says what is wrong with the text of a source.
func faultOfSource(source string) string {
	switch {
	case source == "":
		return "it is not set: the URL or the path of a file with the public keys"
	case isURL(source):
		if err := ory.CheckURL(source); err != nil {
			return err.Error()
		}
	case strings.HasPrefix(source, inline):
		if _, err := base64.StdEncoding.DecodeString(source[len(inline):]); err != nil {
			return "what follows base64:// is not base64"
		}
	case strings.Contains(source, "://") && !strings.HasPrefix(source, "file://"):
		return "it must be a URL that begins with https:// (http:// within one's own network), the path of a file, or base64://"
	}
	return ""
}

// Keys returns what verifies tokens until ctx ends. A file or an inline set is read at
// once, and an error says what is wrong with it; a URL is read in the background. now is
// the wall clock, and failed hears of each reading that fails.
func (v *Verifier) Keys(ctx context.Context, now func() time.Time, failed func(error)) (*Keys, error) {
	k := &Keys{verifier: v, read: v.source(), ctx: ctx, now: now, start: time.Now(), failed: failed}
	if isURL(v.JWKS) {
		_, _ = k.begin()
		return k, nil
	}
	one := &reading{done: make(chan struct{})}
	k.run(one, k.mono(), k.now())
	return k, one.err
}

func (k *Keys) mono() int64 { return int64(time.Since(k.start)) }

// Wait waits for the reading that is under way. The context must have ended.
func (k *Keys) Wait() { k.wg.Wait() }

// Stats is what Keys have done and hold.
type Stats struct {
	Keys       int    // that can be used
	Faults     uint64 // readings that failed
	Signatures uint64 // checked, good or bad
}

// Stats may be called at any time.
func (k *Keys) Stats() Stats {
	s := Stats{Faults: k.faults.Load(), Signatures: k.signatures.Load()}
	if set := k.set.Load(); set != nil {
		s.Keys = len(set.keys)
	}
	return s
}

// Verify returns what a token says if it is good at a moment. A *Refusal says that it is
// not; every other error is "don't know".
func (k *Keys) Verify(ctx context.Context, raw string, at time.Time) (*Token, error) {
	t, err := k.verifier.Read(raw, at)
	if err != nil {
		return nil, err
	}
	key, err := k.find(ctx, t)
	if err != nil {
		return nil, err
	}
	k.signatures.Add(1)
	if err := k.verifier.verify(raw, t, key); err != nil {
		return nil, err
	}
	return t, nil
}

// source is what reads the set.
func (v *Verifier) source() func(context.Context) ([]byte, error) {
	if isURL(v.JWKS) {
		return fetchJWKS(v.JWKS, v.HTTP)
	}
	if text, ok := strings.CutPrefix(v.JWKS, inline); ok {
		return func(context.Context) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
	}
	path := strings.TrimPrefix(v.JWKS, "file://")
	return func(context.Context) ([]byte, error) { return readKeyFile(path) }
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxJWKS+1))
}

// fetchJWKS reads a URL: no redirects, which would let another host choose the keys.
func fetchJWKS(url string, h *http.Client) func(context.Context) ([]byte, error) {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if h != nil && h.Transport != nil {
		c.Transport = h.Transport
	} else {
		c.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true,
			TLSHandshakeTimeout: keysTimeout, MaxResponseHeaderBytes: 64 << 10}
	}
	return func(ctx context.Context) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, keysTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, errors.New("its URL cannot be read")
		}
		req.Header.Set("Accept", "application/json")
		resp, err := c.Do(req)
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "" {
			return nil, fmt.Errorf("its server answered %d, and a plain 200 is wanted: no redirect, nothing compressed", resp.StatusCode)
		}
		return io.ReadAll(io.LimitReader(resp.Body, maxJWKS+1))
	}
}

// find returns the key that a token names. The error is a Refusal where there surely
// is none, and else "don't know".
func (k *Keys) find(ctx context.Context, t *Token) (*publicKey, error) {
	if key, err := k.known(t); key != nil || err != nil {
		return key, err
	}
	one, ours := k.begin()
	if one == nil { // not yet again, or a reading has ended since
		if key, err := k.known(t); key != nil || err != nil {
			return key, err
		}
		return nil, fmt.Errorf("jwt: a token names a key that was not published a moment ago: %w", symbolon.ErrUnavailable)
	}
	select {
	case <-one.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("jwt: waiting for the public keys of Ory's tokens: %w: %w", ctx.Err(), symbolon.ErrUnavailable)
	}
	if one.err != nil {
		return nil, fmt.Errorf("jwt: the public keys of Ory's tokens cannot be read: %w: %w", one.err, symbolon.ErrUnavailable)
	}
	switch key := one.set.keys[t.kid]; {
	case key != nil:
		return key, nil
	case ours || one.set.wall.Sub(t.Issued) > Leeway:
		return nil, refuse("its kid names no key of auth.jwt.jwks")
	}
	return nil, fmt.Errorf("jwt: a token names a key that was not published when the keys were read: %w", symbolon.ErrUnavailable)
}

// known returns the key that a token names if the keys of the last reading have it, and a
// refusal if that reading is newer than the token. Both are nil otherwise.
func (k *Keys) known(t *Token) (*publicKey, error) {
	set := k.set.Load()
	if set == nil {
		return nil, nil
	}
	if key := set.keys[t.kid]; key != nil {
		if k.mono()-set.asked > int64(keysAge) {
			_, _ = k.begin()
		}
		return key, nil
	}
	if set.wall.Sub(t.Issued) > Leeway {
		return nil, refuse("its kid names no key of auth.jwt.jwks")
	}
	return nil, nil
}

// Has reports whether the key that verified a token is still published, as far as is
// known.
func (k *Keys) Has(t *Token) bool {
	key := t.key
	set := k.set.Load()
	if set == nil {
		return false
	}
	if k.mono()-set.asked > int64(keysAge) {
		_, _ = k.begin()
	}
	return key.same(set.keys[key.kid])
}

// begin returns the reading that is under way, or begins one, which is then ours;
// nil: not yet again.
func (k *Keys) begin() (one *reading, ours bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.running != nil {
		return k.running, false
	}
	now := k.mono()
	if now < k.next || k.ctx.Err() != nil {
		return nil, false
	}
	one = &reading{done: make(chan struct{})}
	k.running = one
	k.wg.Go(func() { k.run(one, now, k.now()) })
	return one, true
}

func (k *Keys) run(one *reading, asked int64, wall time.Time) {
	doc, err := k.read(k.ctx)
	if err == nil {
		one.set, err = parseJWKS(doc, k.verifier.algorithms())
	}
	pause := keysPause
	if err != nil {
		one.err, pause = err, keysRetry
		k.faults.Add(1)
		if k.ctx.Err() == nil {
			k.failed(err)
		}
	} else {
		one.set.asked, one.set.wall = asked, wall
		k.set.Store(one.set)
	}
	k.mu.Lock()
	k.running, k.next = nil, asked+int64(pause)
	k.mu.Unlock()
	close(one.done)
}

// CheckKeys reads the keys if they are on this machine: in a file, or in JWKS itself. It
// does not ask a URL.
func (v *Verifier) CheckKeys(ctx context.Context) error {
	if isURL(v.JWKS) {
		return nil
	}
	_, _, err := v.ReadKeys(ctx)
	return err
}

// ReadKeys reads the keys once, wherever they are, and says which can be used, by kid
// and algorithm, and why others cannot: for an examination of the setup. An error says
// what is wrong with the whole set, or that it cannot be read.
func (v *Verifier) ReadKeys(ctx context.Context) (used, unused []string, err error) {
	if err := v.Check(); err != nil {
		return nil, nil, err
	}
	doc, err := v.source()(ctx)
	if err != nil {
		return nil, nil, err
	}
	set, err := parseJWKS(doc, v.algorithms())
	if err != nil {
		return nil, nil, err
	}
	for _, kid := range slices.Sorted(maps.Keys(set.keys)) {
		used = append(used, kid+" ("+string(set.keys[kid].algorithm)+")")
	}
	return used, set.unused, nil
}
