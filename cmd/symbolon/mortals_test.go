package main

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
	env  config.Environ
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
	t.Chdir(t.TempDir())
	m.env = cmdtest.Env("SYMBOLON_DATABASE", m.Config.Database.Reveal(), "SYMBOLON_ORY_PUBLIC_URL", m.fake.PublicURL, "SYMBOLON_ORY_ADMIN_URL", m.fake.AdminURL)
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
