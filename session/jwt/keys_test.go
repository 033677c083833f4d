package jwt

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/session/internal/jwttest"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestKeysPauseAfterAPanic checks that a panic of the transport is "don't know". The
// transport is called at most once a second, and the panic is a failed reading.
func TestKeysPauseAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, failures := 0, 0
		v := &Verifier{JWKS: "https://keys.example/jwks.json", Issuer: jwttest.Issuer, Audience: jwttest.Audience, HTTP: &http.Client{
			Transport: transport(func(*http.Request) (*http.Response, error) { calls++; panic("canary") }),
		}}
		keys, err := v.Keys(time.Now, func(err error) {
			if failures++; strings.Contains(err.Error(), "canary") {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		s := jwttest.Session{ID: "00000001-5e55-4000-8000-000000000000", Identity: "00000001-1de0-4000-8000-000000000000", AAL: "aal1", Authenticated: time.Now()}
		raw := jwttest.Sign(jwttest.JSON(jwttest.Header), jwttest.JSON(jwttest.Claims(s, time.Now(), time.Minute)), jwttest.Private().ES)
		for range 10 {
			if _, err := keys.Verify(t.Context(), raw, time.Now()); !errors.Is(err, symbolon.ErrUnavailable) {
				t.Error(err)
			}
			time.Sleep(keysRetry / 4)
		}
		keys.Close()
		if calls != 3 || failures != 3 || keys.Stats().Faults != 3 {
			t.Errorf("%d calls, %d failures, %+v", calls, failures, keys.Stats())
		}
		if _, err := keys.Verify(t.Context(), raw, time.Now()); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestKeysClose checks that Close ends a hanging reading, and that this is not reported
// as a failure.
func TestKeysClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &Verifier{JWKS: "https://keys.example/jwks.json", Issuer: jwttest.Issuer, HTTP: &http.Client{
			Transport: transport(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }),
		}}
		keys, err := v.Keys(time.Now, func(err error) { t.Errorf("reported: %v", err) })
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		keys.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close waited %v", took)
		}
	})
}
