package cmdtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// Kratos is a fake Ory whose identities and sessions have IDs that a test knows.
type Kratos struct {
	*fakeory.Ory
	mu         sync.Mutex
	identities map[string]map[string]any
	up         func() // ends SetDown
}

// StartKratos starts a Kratos without identities.
func StartKratos(t *testing.T) *Kratos {
	return &Kratos{Ory: fakeory.Start(t, fakeory.Config{}), identities: map[string]map[string]any{}, up: func() {}}
}

// Add makes the n-th identity, and a session with the token.
func (k *Kratos) Add(n int) (id, token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id = fmt.Sprintf("1d000000-0000-4000-8000-%012d", n)
	token = fmt.Sprintf("ory_st_cAnArY%026d", n)
	k.identities[id] = map[string]any{"id": id, "state": "active", "schema_id": "default", "created_at": "2025-01-02T03:04:05Z",
		"traits": map[string]any{"email": fmt.Sprintf("cAnArY%d@example.com", n)}}
	k.PutIdentity(k.identities[id])
	k.PutSession(fakeory.Session{ID: "5e" + id[2:], IdentityID: id, Token: token, IssuedAt: time.Now().UTC().Add(-time.Minute)})
	return id, token
}

// Set changes a field of an identity.
func (k *Kratos) Set(id, key string, value any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.identities[id] = maps.Clone(k.identities[id])
	k.identities[id][key] = value
	k.PutIdentity(k.identities[id])
}

// Delete deletes an identity.
func (k *Kratos) Delete(t *testing.T, id string) {
	t.Helper()
	if err := k.DeleteIdentity(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// SetDown makes every request fail, or ends that.
func (k *Kratos) SetDown(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.up()
	k.up = func() {}
	if down {
		k.up = k.Break(fakeory.Failing{})
	}
}

// SignOut revokes a session.
func (k *Kratos) SignOut(token string) { _ = k.Logout(context.Background(), token) }

// SignIn gives every identity a session of that time.
func (k *Kratos) SignIn(at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(k.identities)) {
		k.PutSession(fakeory.Session{IdentityID: id, IssuedAt: at.UTC()})
	}
}

// Born signs up a person.
func (k *Kratos) Born(t *testing.T, email string) *symbolontest.Person {
	t.Helper()
	p, err := k.Register(t.Context(), email, Password, "cAnArY name")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
