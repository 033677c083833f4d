package session

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestKeysAreRotated checks that a new key is accepted as soon as it is published, and an
// old key only while it is published.
func TestKeysAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keysOnce()
		w, s := tokenWorld(t)
		_, p := w.person(1)
		s.body = jwksOf(t, "ed", "EdDSA", k.ED.Public())
		byEd := func() string {
			return signRaw(jsonOf(members{"alg": "EdDSA", "kid": "ed"}), jsonOf(claimsFor(p, time.Now(), 15*time.Minute)), k.ED)
		}
		first := byEd()
		if got := tokenStatus(w.v, first); got != 200 {
			t.Fatal(got)
		}
		if got := tokenStatus(w.v, tokenise(p)); got != 503 || s.times() != 1 {
			t.Errorf("a key that may be new: %d, read %d times", got, s.times())
		}
		time.Sleep(keysPause)
		if got := tokenStatus(w.v, tokenise(p)); got != 401 || s.times() != 2 {
			t.Errorf("a key that is not published: %d, read %d times", got, s.times())
		}
		time.Sleep(keysPause)
		s.set(func() { s.body = jwksOf(t, "ed", "EdDSA", k.ED.Public(), "es", "ES256", k.ES.Public()) })
		if got := tokenStatus(w.v, tokenise(p)); got != 200 || s.times() != 3 {
			t.Errorf("a new key: %d, read %d times", got, s.times())
		}
		s.set(func() { s.body = jwksOf(t, "es", "ES256", k.ES.Public()) }) // the old key is removed
		time.Sleep(keysAge + time.Second)
		_ = tokenStatus(w.v, tokenise(p)) // the request finds the set too old, which starts a reading
		synctest.Wait()
		if got := tokenStatus(w.v, first); got != 401 {
			t.Errorf("a token whose key was withdrawn, verified before: %d", got)
		}
		if got := tokenStatus(w.v, byEd()); got == 200 {
			t.Errorf("a withdrawn key: %d", got)
		}
		// Another key with the same kid is a different key.
		good := tokenise(p)
		if got := tokenStatus(w.v, good); got != 200 {
			t.Errorf("the new key: %d", got)
		}
		s.set(func() { s.body = jwksOf(t, "es", "ES256", k.Other.Public()) })
		time.Sleep(keysAge + time.Second)
		_ = tokenStatus(w.v, good)
		synctest.Wait()
		time.Sleep(defaultMaxStale)
		if got := tokenStatus(w.v, good); got != 401 {
			t.Errorf("another key of the same kid: %d", got)
		}
	})
}

// TestKeysThatCannotBeRead checks that the last keys are used while the set cannot be
// read, and that for other keys the answer is "don't know".
func TestKeysThatCannotBeRead(t *testing.T) {
	faults := map[string]func(*jwksServer){
		"no connection": func(s *jwksServer) { s.err = errors.New("connection refused") },
		"500":           func(s *jwksServer) { s.status = 500 },
		"404":           func(s *jwksServer) { s.status = 404 },
		"a redirect": func(s *jwksServer) {
			s.status, s.header = 302, http.Header{"Location": {"https://evil.example/jwks.json"}}
		},
		"compressed":   func(s *jwksServer) { s.header = http.Header{"Content-Encoding": {"gzip"}} },
		"not JSON":     func(s *jwksServer) { s.body = "<html>" },
		"empty":        func(s *jwksServer) { s.body = `{"keys":[]}` },
		"huge":         func(s *jwksServer) { s.body += strings.Repeat(" ", 1<<20) },
		"stalls":       func(s *jwksServer) { s.latency = time.Hour },
		"private keys": func(s *jwksServer) { s.body = strings.Replace(s.body, `"kid"`, `"d":"AAAA","kid"`, 1) },
	}
	for name, fault := range faults {
		synctest.Test(t, func(t *testing.T) {
			w, s := tokenWorld(t)
			_, p := w.person(1)
			unknown := func() string {
				return signRaw(jsonOf(headerES.With(members{"kid": "new"})), jsonOf(claimsFor(p, time.Now(), time.Minute)), keysOnce().ES)
			}
			s.set(func() { fault(s) })
			if got := tokenStatus(w.v, tokenise(p)); got != 503 {
				t.Errorf("%s, from the start: %d", name, got)
			}
			s.set(func() { s.body, s.status, s.err, s.latency, s.header = allKeys(t), 0, nil, 0, nil })
			time.Sleep(keysPause)
			if got := tokenStatus(w.v, tokenise(p)); got != 200 {
				t.Errorf("%s, after the fault: %d", name, got)
			}
			s.set(func() { fault(s) })
			for range 4 {
				time.Sleep(keysAge)
				if got := tokenStatus(w.v, tokenise(p)); got != 200 {
					t.Errorf("%s, with a key that is known: %d", name, got)
				}
				if got := tokenStatus(w.v, unknown()); got != 503 {
					t.Errorf("%s, with a key that is not: %d", name, got)
				}
			}
			if w.v.Stats().Tokens.KeyFaults == 0 || !strings.Contains(w.log.String(), "public keys of Ory's tokens cannot be read") {
				t.Errorf("%s: the log does not report it", name)
			}
			if name == "private keys" && !strings.Contains(w.log.String(), "publish only the public halves") {
				t.Error("the set has private keys, but the log does not report it")
			}
		})
	}
}

// TestKeysAreReadSeldom sends many tokens with unknown kids for a minute. There is one
// reading at a time, and at most one in ten seconds.
func TestKeysAreReadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := tokenWorld(t)
		s.latency = 100 * time.Millisecond
		_, p := w.person(1)
		began := time.Now()
		for round := range 60 {
			var wg sync.WaitGroup
			for n := range 20 {
				jwt := signRaw(jsonOf(headerES.With(members{"kid": fmt.Sprint(round, n)})), jsonOf(claimsFor(p, time.Now(), time.Minute)), keysOnce().ES)
				wg.Go(func() {
					if got := tokenStatus(w.v, jwt); got != 401 && got != 503 {
						t.Error(got)
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
		}
		if most := int(time.Since(began)/keysPause) + 1; s.times() > most || s.times() < most-3 {
			t.Errorf("the keys were read %d times in %s", s.times(), time.Since(began))
		}
	})
}

// TestKeysInFiles checks that a path, file:// and base64:// work, and that a file is read
// again.
func TestKeysInFiles(t *testing.T) {
	k := keysOnce()
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(allKeys(t))
	for _, source := range []string{path, "file://" + path, "base64://" + base64.StdEncoding.EncodeToString([]byte(allKeys(t)))} {
		w, s := tokenWorld(t)
		w.v.Tokens.JWKS = source
		_, p := w.person(1)
		if got := tokenStatus(w.v, tokenise(p)); got != 200 || s.times() != 0 {
			t.Errorf("%s: %d", source, got)
		}
		used, unused, err := w.v.Tokens.ReadKeys(t.Context())
		if err != nil || strings.Join(used, ", ") != "ed (EdDSA), es (ES256), rs (RS256)" || len(unused) != 0 || w.v.Tokens.CheckKeys(t.Context()) != nil {
			t.Errorf("%s: %q %q %v", source, used, unused, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		w.v.Tokens.JWKS = path
		_, p := w.person(1)
		write(jwksOf(t, "ed", "EdDSA", k.ED.Public()))
		if got := tokenStatus(w.v, tokenise(p)); got != 503 {
			t.Errorf("not in the file: %d", got)
		}
		write(allKeys(t))
		time.Sleep(keysPause)
		if got := tokenStatus(w.v, tokenise(p)); got != 200 {
			t.Errorf("now in the file: %d", got)
		}
	})
	for name, text := range map[string]string{"private": `{"keys":[{"kty":"EC","d":"AA"}]}`, "nothing": ""} {
		write(text)
		w, _ := tokenWorld(t)
		w.v.Tokens.JWKS = path
		if err := w.v.Check(); err == nil || !strings.Contains(err.Error(), "Tokens.JWKS") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, _ := tokenWorld(t)
	w.v.Tokens.JWKS = path + ".not"
	if err := w.v.Check(); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// cdn is a cache in front of the keys' server. It keeps each answer for an hour.
type cdn struct {
	origin  *jwksServer
	obeys   bool // Cache-Control: no-cache
	byQuery bool // another query is another entry
	age     bool // says Age
	strict  bool // the server refuses a query

	mu   sync.Mutex
	kept map[string]entryOfCDN
}

type entryOfCDN struct {
	body string
	at   time.Time
}

func (c *cdn) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.strict && r.URL.RawQuery != "" {
		return response(http.StatusBadRequest, "{}"), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name := r.URL.Path
	if c.byQuery {
		name = r.URL.RequestURI()
	}
	e, ok := c.kept[name]
	if !ok || time.Since(e.at) >= time.Hour || c.obeys && r.Header.Get("Cache-Control") == "no-cache" {
		c.origin.set(func() { e = entryOfCDN{c.origin.body, time.Now()} })
		c.kept[name] = e
	}
	resp := response(http.StatusOK, e.body)
	if c.age {
		resp.Header.Set("Age", fmt.Sprint(int(time.Since(e.at).Seconds())))
	}
	return resp, nil
}

// TestStaleKeySet checks that a cache which answers with the key set from before a rotation
// causes no 401. The new key is accepted at once if the cache can be passed.
func TestStaleKeySet(t *testing.T) {
	for name, test := range map[string]struct {
		cache  *cdn
		passed bool
	}{
		"obeys Cache-Control":            {&cdn{obeys: true}, true},
		"keeps each query by itself":     {&cdn{byQuery: true}, true},
		"ignores both, and says its age": {&cdn{age: true}, false},
		"its server refuses the query":   {&cdn{strict: true}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, s := tokenWorld(t)
			k, cache := keysOnce(), test.cache
			cache.origin, cache.kept = s, map[string]entryOfCDN{}
			w.v.Tokens.HTTP.Transport = cache
			_, p := w.person(1)
			s.body = jwksOf(t, "ed", "EdDSA", k.ED.Public())
			resp, err := w.v.Tokens.HTTP.Get(w.v.Tokens.JWKS) // another client fills the cache
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			old := signRaw(jsonOf(members{"alg": "EdDSA", "kid": "ed"}), jsonOf(claimsFor(p, time.Now(), 15*time.Minute)), k.ED)
			if got := tokenStatus(w.v, old); got != 200 {
				t.Fatalf("%s: the old key: %d", name, got)
			}
			time.Sleep(2 * keysPause)
			s.set(func() { s.body = jwksOf(t, "ed", "EdDSA", k.ED.Public(), "es", "ES256", k.ES.Public()) })
			rotated, accepted := time.Now(), time.Duration(-1)
			for time.Since(rotated) < time.Hour+time.Minute {
				switch got := tokenStatus(w.v, tokenise(p)); {
				case got == 200 && accepted < 0:
					accepted = time.Since(rotated)
				case got == 401, got != 200 && accepted >= 0:
					t.Fatalf("%s: the new key gets %d after %s", name, got, time.Since(rotated))
				}
				time.Sleep(keysPause + time.Second)
			}
			if accepted < 0 || test.passed && accepted > 0 {
				t.Errorf("%s: the new key was accepted after %s", name, accepted)
			}
			unpublished := signRaw(jsonOf(headerES.With(members{"kid": "never"})), jsonOf(claimsFor(p, time.Now(), time.Minute)), k.ES)
			if got := tokenStatus(w.v, unpublished); test.passed && got != 401 || !test.passed && got != 401 && got != 503 {
				t.Errorf("%s: a key that was never published: %d", name, got)
			}
		})
	}
}
