package session

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/session/internal/jwttest"
	"github.com/symbolon-id/symbolon/session/jwt"
)

// The settings of the tokens.
const (
	tokenIssuer   = jwttest.Issuer
	tokenAudience = jwttest.Audience

	keysPause = 10 * time.Second // between two readings of the keys
	keysAge   = 10 * time.Minute // age at which they are read again
)

type members = jwttest.Members

var (
	keysOnce = jwttest.Private
	jwksOf   = jwttest.JWKS
	allKeys  = jwttest.AllKeys
	jsonOf   = jwttest.JSON
	signRaw  = jwttest.Sign
	headerES = jwttest.Header
)

// signed returns the claims of a session's token.
func signed(s *fakeSession) jwttest.Session {
	return jwttest.Session{ID: s.id, Identity: s.identity, AAL: s.aal, Authenticated: s.authenticated, Verified: s.verified}
}

func claimsFor(s *fakeSession, now time.Time, life time.Duration) members {
	return jwttest.Claims(signed(s), now, life)
}

// tokenise returns a valid token of a session.
func tokenise(s *fakeSession, more ...members) string {
	claims := claimsFor(s, time.Now(), 10*time.Minute)
	for _, m := range more {
		claims = claims.With(m)
	}
	return signRaw(jsonOf(headerES), jsonOf(claims), keysOnce().ES)
}

// jwksServer serves the keys without a network.
type jwksServer struct {
	mu      sync.Mutex
	body    string
	status  int
	err     error
	latency time.Duration
	asked   int
	header  http.Header
}

func (s *jwksServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked++
	latency, body, status, err, header := s.latency, s.body, s.status, s.err, s.header
	s.mu.Unlock()
	if latency > 0 {
		timer := time.NewTimer(latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if err != nil {
		return nil, err
	}
	if status == 0 {
		status = 200
	}
	resp := response(status, body)
	for name, values := range header {
		resp.Header[name] = values
	}
	return resp, nil
}

func (s *jwksServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *jwksServer) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// tokenWorld is a world whose verifier accepts tokens, with the server of their keys.
func tokenWorld(t testing.TB) (*world, *jwksServer) {
	w, s := newWorld(t), &jwksServer{body: allKeys(t)}
	w.v.Tokens = &jwt.Verifier{JWKS: "https://keys.example/jwks.json", Issuer: tokenIssuer, Audience: tokenAudience, HTTP: &http.Client{Transport: s}}
	return w, s
}

func byBearer(token string) *http.Request { return request("Authorization", "Bearer "+token) }
