package answer

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// TestOf checks that each error has one status. An unknown error is 503, and its text is
// never sent.
func TestOf(t *testing.T) {
	deny := func(err error) error {
		return fmt.Errorf("x: %w", &symbolon.DenyError{Detail: "canary", Err: err})
	}
	tests := []struct {
		err    error
		status int
		code   Code
	}{
		{deny(symbolon.ErrOnHold), 403, LinkOnHold},
		{deny(symbolon.ErrUserGone), 403, UserGone},
		{deny(symbolon.ErrCannotCreate), 403, CannotCreate},
		{deny(symbolon.ErrNotEligible), 403, NotEligible},
		{&symbolon.DenyError{Code: "user_suspended", Detail: "canary", Err: symbolon.ErrDenied}, 403, "user_suspended"},
		{&symbolon.DenyError{Code: "user_gone", Detail: "canary", Err: symbolon.ErrDenied}, 403, UserGone},
		{deny(symbolon.ErrDenied), 503, Unavailable}, // no store makes it
		{&symbolon.ConflictError{Reason: "r"}, 409, Conflict},
		{fmt.Errorf("x: %w", symbolon.ErrNotFound), 404, NotFound},
		{symbolon.ErrNoAdmin, 409, Conflict},
		{fmt.Errorf("canary: %w", symbolon.ErrUnavailable), 503, Unavailable},
		{errors.New("canary"), 503, Unavailable},
		{fmt.Errorf("x: %w", New(418, "teapot", "m")), 418, "teapot"},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		Write(w, tt.err)
		if w.Code != tt.status || !strings.HasPrefix(w.Body.String(), `{"error":{"code":"`+string(tt.code)+`","message":"`) {
			t.Errorf("%v: %d %s", tt.err, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "canary") || (w.Header().Get("Retry-After") == "1") != (tt.status == 503) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %s %v", tt.err, w.Body, w.Header())
		}
		hook := httptest.NewRecorder()
		WriteHook(hook, tt.err)
		if hook.Code != tt.status || hook.Body.String() != w.Body.String() || hook.Header().Get("Retry-After") != "" {
			t.Errorf("hook, %v: %d %v", tt.err, hook.Code, hook.Header())
		}
	}
}
