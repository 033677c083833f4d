package server

import (
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// mortals is an installation on a fake Ory that can delete identities.
type mortals struct {
	*installation
	fake *fakeory.Ory
}

func installMortals(t *testing.T, change func(*config.Config)) *mortals {
	t.Helper()
	m := &mortals{fake: fakeory.Start(t, fakeory.Config{})}
	m.installation = install(t, func(c *config.Config) {
		c.Ory.PublicURL, c.Ory.AdminURL, c.Ory.Token = m.fake.PublicURL, m.fake.AdminURL, ""
		if change != nil {
			change(c)
		}
	})
	return m
}

// born signs somebody up and in.
func (m *mortals) born(t *testing.T, email string) (p *symbolontest.Person, user string) {
	t.Helper()
	p, err := m.fake.Register(t.Context(), email, cmdtest.Password, "cAnArY name")
	if err != nil {
		t.Fatal(err)
	}
	return p, m.signIn(t, p.Token)
}

func (m *mortals) alive(t *testing.T, p *symbolontest.Person) bool {
	t.Helper()
	_, status, err := m.fake.GetIdentity(t.Context(), p.IdentityID)
	if err != nil {
		t.Fatal(err)
	}
	return status == 200
}
