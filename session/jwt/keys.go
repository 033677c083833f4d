package jwt

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/flight"
	"github.com/symbolon-id/symbolon/ory"
)

// Keys verifies tokens with the public keys of a Verifier. It reads the keys again if that
// may bring a missing key:
//
//	kid is there ───────────────────────────────▶ the key; a set older than keysAge is
//	     │ no                                       read again in the background
//	     ▼
//	the set is newer than the token ────────────▶ there is no such key: refused
//	     │ no
//	     ▼ one reading at a time, at most one in keysPause
//	read ── the key is there, or not ───────────▶ the key, or refused
//	  └──── cannot be read, or not now, or
//	        a cache has answered ───────────────▶ don't know
//
// A cache, such as a CDN, may answer with a set from before a rotation. A key that is missing
// in such an answer may exist. See get.
//
// Keys may be used by many goroutines at once.
type Keys struct {
	verifier *Verifier
	now      func() time.Time
	start    time.Time // the zero of mono
	failed   func(error)

	// Each of these fields is atomic by itself.
	set        atomic.Pointer[keySet] // nil: not read yet
	faults     atomic.Uint64
	signatures atomic.Uint64

	reads flight.Group[struct{}, *keySet]

	mu   sync.Mutex // protects next; held while begin decides whether a reading begins
	next int64      // no reading begins before this time
}

const (
	keysPause   = 10 * time.Second // between the beginnings of two readings
	keysRetry   = time.Second      // the same after a failed reading
	keysAge     = 10 * time.Minute
	keysTimeout = 5 * time.Second
)

const inline = "base64://"

// isURL reports whether a source is read over HTTP.
func isURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

// faultOfSource returns what is wrong with JWKS, or "".
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
			return "the text after base64:// is not base64"
		}
	case strings.Contains(source, "://") && !strings.HasPrefix(source, "file://"):
		return "it must be a URL that begins with https:// (http:// within one's own network), the path of a file, or base64://"
	}
	return ""
}

// Keys returns the Keys that verify tokens until Close. A file or an inline set is read at
// once, and an error says what is wrong with it. A URL is read in the background. now is
// the wall clock. failed is called with the error of each reading that fails.
func (v *Verifier) Keys(now func() time.Time, failed func(error)) (*Keys, error) {
	k := &Keys{verifier: v, now: now, start: time.Now(), failed: failed}
	if isURL(v.JWKS) {
		_, _ = k.begin()
		return k, nil
	}
	_, err := k.read(context.Background())
	return k, err
}

func (k *Keys) mono() int64 { return int64(time.Since(k.start)) }

// Close cancels the running reading and waits for its goroutine. No reading begins
// afterwards.
func (k *Keys) Close() { k.reads.Close() }

// Stats describes Keys: the counters since the start, and the state.
type Stats struct {
	Keys       int    // usable keys
	Faults     uint64 // failed readings
	Signatures uint64 // checks of a signature, whatever their result
}

// Stats may be called at any time.
func (k *Keys) Stats() Stats {
	s := Stats{Faults: k.faults.Load(), Signatures: k.signatures.Load()}
	if set := k.set.Load(); set != nil {
		s.Keys = len(set.keys)
	}
	return s
}

// Verify returns the token if it is valid. The parameter at is the time of the check. The
// error is a *Refusal if it is not valid. Every other error is "don't know".
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

// readSet reads the keys once: from the URL, the file, or JWKS itself.
func (v *Verifier) readSet(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	r, age, err := v.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	doc, err := io.ReadAll(io.LimitReader(r, maxJWKS+1))
	if err != nil {
		return nil, err
	}
	set, err := parseJWKS(doc, v.algorithms())
	if err != nil {
		return nil, err
	}
	set.age = age
	return set, nil
}

// open returns the document, and its age in a cache.
func (v *Verifier) open(ctx context.Context) (io.ReadCloser, time.Duration, error) {
	if isURL(v.JWKS) {
		return v.get(ctx)
	}
	if text, ok := strings.CutPrefix(v.JWKS, inline); ok {
		return io.NopCloser(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text))), 0, nil
	}
	f, err := os.Open(strings.TrimPrefix(v.JWKS, "file://"))
	return f, 0, err
}

// anyAge stands for an unknown age, because a cache may have kept the answer for any time.
const anyAge = 100 * 365 * 24 * time.Hour

// get asks the URL past all caches: with Cache-Control, and with a query that no cache has
// seen, because many caches ignore the former. A server that refuses the query is asked
// without it.
func (v *Verifier) get(ctx context.Context) (io.ReadCloser, time.Duration, error) {
	past := v.JWKS + "?"
	if strings.Contains(v.JWKS, "?") {
		past = v.JWKS + "&"
	}
	resp, err := v.ask(ctx, past+"symbolon="+rand.Text())
	if err != nil {
		return nil, 0, err
	}
	age := ageOf(resp)
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		if resp, err = v.ask(ctx, v.JWKS); err != nil {
			return nil, 0, err
		}
		age = anyAge
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "" {
		_ = resp.Body.Close()
		return nil, 0, fmt.Errorf("its server answered %d; the answer must be 200, without a redirect and without compression", resp.StatusCode)
	}
	return resp.Body, age, nil
}

// ageOf returns the age of an answer. A cache that has answered says it in Age (RFC 9111).
func ageOf(resp *http.Response) time.Duration {
	text := resp.Header.Get("Age")
	if text == "" {
		return 0
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 0 || seconds > int(anyAge/time.Second) {
		return anyAge
	}
	return time.Duration(seconds) * time.Second
}

// ask follows no redirect, because another host would then choose the keys.
func (v *Verifier) ask(ctx context.Context, url string) (*http.Response, error) {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if v.HTTP != nil && v.HTTP.Transport != nil {
		c.Transport = v.HTTP.Transport
	} else {
		c.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true,
			TLSHandshakeTimeout: keysTimeout, MaxResponseHeaderBytes: 64 << 10}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, errors.New("its URL cannot be read")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-cache")
	return c.Do(req)
}

// find returns the key that a token names. The error is a Refusal if it is certain that the
// key does not exist, and "don't know" otherwise.
func (k *Keys) find(ctx context.Context, t *Token) (*publicKey, error) {
	if key, err := k.known(t); key != nil || err != nil {
		return key, err
	}
	call, began := k.begin()
	if call == nil { // it is too early, or a reading has ended since
		if key, err := k.known(t); key != nil || err != nil {
			return key, err
		}
		return nil, fmt.Errorf("jwt: a token names a key that was not among the keys when they were read a moment ago: %w", symbolon.ErrUnavailable)
	}
	set, err := call.Wait(ctx)
	if err != nil {
		return nil, fmt.Errorf("jwt: the public keys of Ory's tokens cannot be read: %w: %w", err, symbolon.ErrUnavailable)
	}
	switch key := set.keys[t.kid]; {
	case key != nil:
		return key, nil
	case began && set.age == 0 || set.lacks(t):
		return nil, noSuchKey
	case set.age > 0:
		return nil, fmt.Errorf("jwt: a token names a key that is not among the keys, but a cache in front of auth.jwt.jwks may have answered: %w", symbolon.ErrUnavailable)
	}
	return nil, fmt.Errorf("jwt: a token names a key that was not among the keys when they were read: %w", symbolon.ErrUnavailable)
}

var noSuchKey = refuse("its kid names no key of auth.jwt.jwks")

// known returns the key that a token names, if the last reading found it. It returns a
// refusal if the key is missing and that set is newer than the token. Otherwise both
// results are nil. Old keys are read again in the background.
func (k *Keys) known(t *Token) (*publicKey, error) {
	set := k.set.Load()
	if set == nil {
		return nil, nil
	}
	if k.mono()-set.asked > int64(keysAge) {
		_, _ = k.begin()
	}
	key := set.keys[t.kid]
	if key == nil && set.lacks(t) {
		return nil, noSuchKey
	}
	return key, nil
}

// Has reports whether the key that verified a token is in the newest reading of the keys.
func (k *Keys) Has(t *Token) bool {
	key, _ := k.known(t)
	return t.key.same(key)
}

// begin returns the running reading, or begins a reading and returns true. The call is nil
// if it is too early for another reading.
func (k *Keys) begin() (call *flight.Call[*keySet], began bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if call := k.reads.Running(struct{}{}); call != nil {
		return call, false
	}
	if k.mono() < k.next {
		return nil, false
	}
	return k.reads.Begin(struct{}{}, k.read)
}

// read reads the keys and keeps them. A panic, for example of the application's transport,
// is a failed reading.
func (k *Keys) read(ctx context.Context) (set *keySet, err error) {
	asked, wall, pause := k.mono(), k.now(), keysPause
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a panic (%T)", p)
		}
		if err != nil {
			pause = keysRetry
			k.faults.Add(1)
		}
		if err != nil && ctx.Err() == nil { // not because of Close
			k.failed(err)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.next = asked + int64(pause)
	}()
	if set, err = k.verifier.readSet(ctx); err != nil {
		return nil, err
	}
	set.asked, set.wall = asked, wall.Add(-set.age)
	k.keep(set)
	return set, nil
}

// keep replaces the set. An older set, from a cache, replaces a newer one only if that one
// was read long ago. Only one reading runs at a time.
func (k *Keys) keep(set *keySet) {
	if last := k.set.Load(); last == nil || !set.wall.Before(last.wall) || set.asked-last.asked > int64(keysAge) {
		k.set.Store(set)
	}
}

// CheckKeys reads the keys if they are in a file or in JWKS itself. It asks no URL.
func (v *Verifier) CheckKeys(ctx context.Context) error {
	if isURL(v.JWKS) {
		return nil
	}
	_, _, err := v.ReadKeys(ctx)
	return err
}

// ReadKeys reads the keys once, to check a setup. used lists each usable key with its kid
// and algorithm, and unused says why each other key is not used. An error concerns the
// whole set.
func (v *Verifier) ReadKeys(ctx context.Context) (used, unused []string, err error) {
	if err := v.Check(); err != nil {
		return nil, nil, err
	}
	set, err := v.readSet(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, kid := range slices.Sorted(maps.Keys(set.keys)) {
		used = append(used, kid+" ("+string(set.keys[kid].algorithm)+")")
	}
	return used, set.unused, nil
}
