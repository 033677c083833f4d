package session

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/symbolon-id/symbolon/ory"
)

func TestCredentialOfAHeader(t *testing.T) {
	w := newWorld(t)
	got, err := w.v.Credential(http.Header{"Authorization": {"Bearer " + bearer}})
	if err != nil || got != (ory.Credential{Kind: ory.BearerToken, Value: bearer}) {
		t.Errorf("%v %v", got, err)
	}
	if _, err := w.v.Credential(nil); !errors.Is(err, ErrUnauthenticated) {
		t.Error(err)
	}
	if _, err := (&Verifier{Log: w.v.Log}).Credential(http.Header{"X-Session-Token": {bearer}}); err == nil || Denied(err) {
		t.Error(err)
	}
}

func TestRefusalOf(t *testing.T) {
	redirected := aal2Required(&ory.Error{Status: 403, Redirect: "https://id.example/aal2"})
	for err, want := range map[error]Refusal{
		ErrUnauthenticated:                     {401, "unauthenticated", "Sign in first.", ""},
		fmt.Errorf("wrapped: %w", ErrNotFresh): {403, "not_fresh", "Sign in again to do this.", ""},
		redirected:                             {403, "aal2_required", "A second factor is needed.", "https://id.example/aal2"},
		errors.New("secret"):                   {503, "unavailable", "This cannot be answered at the moment. Try again.", ""},
	} {
		if got := RefusalOf(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
