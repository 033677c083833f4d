package session

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

// keyring verifies tokens with the keys of a Tokens, and reads the keys again when that
// may tell more:
//
//	kid is there ───────────────────────────────▶ the key; a set older than keysAge is
//	     │ no                                       read again in the background
//	     ▼
//	the set was read after the token was made ──▶ there is no such key: 401
//	     │ no
//	     ▼ one reading at a time, at most one in keysPause
//	read ── the key is there, or not ───────────▶ the key, or 401
//	  └──── cannot be read, or not now ─────────▶ don't know: 503
type keyring struct {
	tokens *Tokens
	read   func(context.Context) ([]byte, error)
	ctx    context.Context // ends every reading
	now    func() time.Time
	start  time.Time // of the monotonic clock
	failed func(error)

	set        atomic.Pointer[tokenKeys] // nil: not read yet
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
	set  *tokenKeys
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

// keys returns what verifies tokens until ctx ends. A file or an inline set is read at
// once, and an error says what is wrong with it; a URL is read in the background. now is
// the wall clock, and failed hears of each reading that fails.
func (t *Tokens) keys(ctx context.Context, now func() time.Time, failed func(error)) (*keyring, error) {
	r := &keyring{tokens: t, read: t.source(), ctx: ctx, now: now, start: time.Now(), failed: failed}
	if isURL(t.JWKS) {
		_, _ = r.begin()
		return r, nil
	}
	one := &reading{done: make(chan struct{})}
	r.run(one, r.mono(), r.now())
	return r, one.err
}

func (r *keyring) mono() int64 { return int64(time.Since(r.start)) }

// wait waits for the reading that is under way. The context must have ended.
func (r *keyring) wait() { r.wg.Wait() }

// keyStats is what a keyring has done and holds.
type keyStats struct {
	keys       int    // that can be used
	faults     uint64 // readings that failed
	signatures uint64 // verified, or not
}

func (r *keyring) stats() keyStats {
	s := keyStats{faults: r.faults.Load(), signatures: r.signatures.Load()}
	if set := r.set.Load(); set != nil {
		s.keys = len(set.keys)
	}
	return s
}

// verify returns what a token says if it is good at a moment. A *refusal says that it is
// not; every other error is "don't know".
func (r *keyring) verify(ctx context.Context, raw string, at time.Time) (*token, error) {
	t, err := r.tokens.read(raw, at)
	if err != nil {
		return nil, err
	}
	key, err := r.find(ctx, t)
	if err != nil {
		return nil, err
	}
	r.signatures.Add(1)
	if err := r.tokens.verify(raw, t, key); err != nil {
		return nil, err
	}
	return t, nil
}

// source is what reads the set.
func (t *Tokens) source() func(context.Context) ([]byte, error) {
	if isURL(t.JWKS) {
		return fetchJWKS(t.JWKS, t.HTTP)
	}
	if text, ok := strings.CutPrefix(t.JWKS, inline); ok {
		return func(context.Context) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
	}
	path := strings.TrimPrefix(t.JWKS, "file://")
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

// find returns the key that a token names. The error is a refusal where there surely
// is none, and else "don't know".
func (r *keyring) find(ctx context.Context, t *token) (*tokenKey, error) {
	if set := r.set.Load(); set != nil {
		if key := set.keys[t.kid]; key != nil {
			if r.mono()-set.asked > int64(keysAge) {
				_, _ = r.begin()
			}
			return key, nil
		}
		if set.wall.Sub(t.issued) > tokenLeeway {
			return nil, notGood("its kid names no key of auth.jwt.jwks")
		}
	}
	one, ours := r.begin()
	if one == nil {
		return nil, fmt.Errorf("session: a token names a key that was not published a moment ago: %w", symbolon.ErrUnavailable)
	}
	select {
	case <-one.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("session: waiting for the public keys of Ory's tokens: %w: %w", ctx.Err(), symbolon.ErrUnavailable)
	}
	if one.err != nil {
		return nil, fmt.Errorf("session: the public keys of Ory's tokens cannot be read: %w: %w", one.err, symbolon.ErrUnavailable)
	}
	switch key := one.set.keys[t.kid]; {
	case key != nil:
		return key, nil
	case ours || one.set.wall.Sub(t.issued) > tokenLeeway:
		return nil, notGood("its kid names no key of auth.jwt.jwks")
	}
	return nil, fmt.Errorf("session: a token names a key that was not published when the keys were read: %w", symbolon.ErrUnavailable)
}

// holds reports whether the key that verified a token is still published, as far as is
// known.
func (r *keyring) holds(t *token) bool {
	key := t.key
	set := r.set.Load()
	if set == nil {
		return false
	}
	if r.mono()-set.asked > int64(keysAge) {
		_, _ = r.begin()
	}
	return key.same(set.keys[key.kid])
}

// begin returns the reading that is under way, or begins one, which is then ours;
// nil: not yet again.
func (r *keyring) begin() (one *reading, ours bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running != nil {
		return r.running, false
	}
	now := r.mono()
	if now < r.next || r.ctx.Err() != nil {
		return nil, false
	}
	one = &reading{done: make(chan struct{})}
	r.running = one
	r.wg.Go(func() { r.run(one, now, r.now()) })
	return one, true
}

func (r *keyring) run(one *reading, asked int64, wall time.Time) {
	doc, err := r.read(r.ctx)
	if err == nil {
		one.set, err = parseJWKS(doc, r.tokens.algorithms())
	}
	pause := keysPause
	if err != nil {
		one.err, pause = err, keysRetry
		r.faults.Add(1)
		if r.ctx.Err() == nil {
			r.failed(err)
		}
	} else {
		one.set.asked, one.set.wall = asked, wall
		r.set.Store(one.set)
	}
	r.mu.Lock()
	r.running, r.next = nil, asked+int64(pause)
	r.mu.Unlock()
	close(one.done)
}

// CheckKeys reads the keys if they are on this machine: in a file, or in JWKS itself. It
// does not ask a URL.
func (t *Tokens) CheckKeys(ctx context.Context) error {
	if isURL(t.JWKS) {
		return nil
	}
	_, _, err := t.ReadKeys(ctx)
	return err
}

// ReadKeys reads the keys once, wherever they are, and says which can be used, by kid
// and algorithm, and why others cannot: for an examination of the setup. An error says
// what is wrong with the whole set, or that it cannot be read.
func (t *Tokens) ReadKeys(ctx context.Context) (used, unused []string, err error) {
	if err := t.Check(); err != nil {
		return nil, nil, err
	}
	doc, err := t.source()(ctx)
	if err != nil {
		return nil, nil, err
	}
	set, err := parseJWKS(doc, t.algorithms())
	if err != nil {
		return nil, nil, err
	}
	for _, kid := range slices.Sorted(maps.Keys(set.keys)) {
		used = append(used, kid+" ("+string(set.keys[kid].algorithm)+")")
	}
	return used, set.unused, nil
}
