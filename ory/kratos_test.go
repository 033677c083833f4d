package ory_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest"
)

const password = "correct horse battery"

// TestKratos makes every call of the client with a real Kratos.
func TestKratos(t *testing.T) {
	k := symbolontest.StartKratos(t, symbolontest.KratosConfig{})
	c := &ory.Client{PublicURL: k.PublicURL, AdminURL: k.AdminURL}
	t.Cleanup(c.CloseIdleConnections)
	ctx := t.Context()
	if err := c.Ready(ctx); err != nil {
		t.Error(err)
	}
	if err := c.ProbeSessions(ctx); err != nil {
		t.Errorf("before the first session: %v", err)
	}
	if v, err := c.Version(ctx); err != nil || v.ExternalID || v.Name == "" {
		t.Errorf("%+v, %v", v, err)
	}
	people := map[symbolon.IdentityID]*symbolontest.Person{}
	for n := range 7 {
		p, err := k.Register(ctx, fmt.Sprintf("p%d@x.example", n), password, "P")
		if err != nil {
			t.Fatal(err)
		}
		people[symbolon.IdentityID(p.IdentityID)] = p
	}
	if err := c.ProbeSessions(ctx); err != nil {
		t.Error(err)
	}
	for i, err := range c.Identities(ctx, ory.ListOptions{PageSize: 2}) {
		if err != nil || people[i.ID] == nil || i.State != symbolon.Active {
			t.Fatalf("%+v, %v", i, err)
		}
		testPerson(t, c, k, people[i.ID], i)
		delete(people, i.ID)
	}
	if len(people) != 0 {
		t.Errorf("%d were not listed", len(people))
	}
}

func testPerson(t *testing.T, c *ory.Client, k *symbolontest.Kratos, p *symbolontest.Person, listed symbolon.Identity) {
	t.Helper()
	ctx := t.Context()
	cookie, err := k.LoginBrowser(ctx, p.Email, password)
	if err != nil {
		t.Fatal(err)
	}
	var s ory.Session
	for _, cred := range []ory.Credential{
		{Kind: ory.SessionToken, Value: p.Token}, {Kind: ory.BearerToken, Value: p.Token}, {Kind: ory.SessionCookie, Value: cookie.Value},
	} {
		if s, err = c.Whoami(ctx, cred); err != nil || s.Identity.ID != listed.ID || !s.Active || s.AAL != "aal1" {
			t.Fatalf("%s: %+v, %v", cred, s, err)
		}
	}
	if again, err := c.Session(ctx, s.ID); err != nil || !again.Active || again.Identity.ID != listed.ID {
		t.Errorf("%+v, %v", again, err)
	}
	if i, err := c.AddPublicMetadata(ctx, listed.ID, "id", `a"b`); err != nil || string(i.MetadataPublic) == "null" {
		t.Errorf("%+v, %v", i, err)
	}
	var metadata map[string]string
	i, err := c.Identity(ctx, listed.ID)
	if err != nil || json.Unmarshal(i.MetadataPublic, &metadata) != nil || metadata["id"] != `a"b` || string(i.Traits) != string(listed.Traits) {
		t.Errorf("%+v, %v", i, err)
	}
	if err := c.RevokeSession(ctx, s.ID); err != nil {
		t.Error(err)
	}
	if s, err := c.Session(ctx, s.ID); err != nil || s.Active {
		t.Errorf("revoked: %+v, %v", s, err)
	}
	if _, err := c.Whoami(ctx, ory.Credential{Kind: ory.SessionCookie, Value: cookie.Value}); !errors.Is(err, ory.ErrNoSession) {
		t.Errorf("revoked: %v", err)
	}
	for range 2 { // the second time there is nothing to delete
		if err := c.RevokeSessions(ctx, listed.ID); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Session(ctx, s.ID); !errors.Is(err, symbolon.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	if err := c.RevokeSession(ctx, s.ID); !errors.Is(err, symbolon.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	if err := c.DeleteIdentity(ctx, listed.ID); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteIdentity(ctx, listed.ID); !errors.Is(err, symbolon.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := c.Identity(ctx, listed.ID); !errors.Is(err, symbolon.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := c.AddPublicMetadata(ctx, listed.ID, "id", "x"); !errors.Is(err, symbolon.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}
