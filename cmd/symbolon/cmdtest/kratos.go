package cmdtest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// Kratos is a fake Ory. The tests know the IDs of its identities and sessions.
type Kratos struct {
	*fakeory.Ory
	t      *testing.T
	people []string // identities
	repair func()   // ends the outage
}

// StartKratos starts a fake without identities.
func StartKratos(t *testing.T) *Kratos {
	return &Kratos{Ory: fakeory.Start(t, fakeory.Config{Generation: fakeory.V26}), t: t, repair: func() {}}
}

// Add creates the n-th identity, and a session with the token.
func (k *Kratos) Add(n int) (id, token string) {
	id = k.PutIdentity(map[string]any{"id": fmt.Sprintf("1d000000-0000-4000-8000-%012d", n), "created_at": "2025-01-02T03:04:05Z",
		"traits": map[string]any{"email": fmt.Sprintf("cAnArY%d@example.com", n)}})
	k.people = append(k.people, id)
	s := k.PutSession(fakeory.Session{ID: "5e" + id[2:], IdentityID: id, Token: fmt.Sprintf("ory_st_cAnArY%026d", n),
		IssuedAt: time.Now().UTC().Add(-time.Minute)})
	return id, s.Token
}

// Set changes a field of an identity. Without a key and a value it deletes the identity.
func (k *Kratos) Set(id, key string, value any) {
	k.t.Helper()
	if value == nil && key == "" {
		k.must(k.DeleteIdentity(k.t.Context(), id))
		return
	}
	text, _, err := k.GetIdentity(k.t.Context(), id)
	k.must(err)
	var document map[string]any
	k.must(json.Unmarshal(text, &document))
	document[key] = value
	k.PutIdentity(document)
}

// SetDown starts or ends an outage, in which every request fails.
func (k *Kratos) SetDown(down bool) {
	k.repair()
	k.repair = func() {}
	if down {
		k.repair = k.Break(fakeory.Failing{})
	}
}

// SignOut revokes a session.
func (k *Kratos) SignOut(token string) {
	k.t.Helper()
	k.must(k.Logout(k.t.Context(), token))
}

// SignIn gives every identity a session from this time.
func (k *Kratos) SignIn(at time.Time) {
	for _, id := range k.people {
		k.PutSession(fakeory.Session{IdentityID: id, IssuedAt: at})
	}
}

func (k *Kratos) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}
