package server

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// installation is a server on SQLite without listeners, with a fake Ory.
type installation struct {
	*Server
	ory  *cmdtest.Kratos
	logs *cmdtest.Buffer

	runID string // of the last run of reconciled
}

// install creates an installation in a folder of its own, with Ory's admin API.
func install(t *testing.T, change func(*config.Config)) *installation {
	t.Helper()
	k := cmdtest.StartKratos(t)
	c := config.Defaults()
	c.Secret, c.Users.Columns = cmdtest.Secret, config.OwnColumns()
	c.Reconcile.Every = 0 // its schedule would link identities during the test
	c.Ory.PublicURL, c.Ory.AdminURL, c.Ory.Token = k.PublicURL, k.AdminURL, cmdtest.Key+"token"
	c.Database = config.Hidden("sqlite://" + filepath.Join(t.TempDir(), "symbolon.db"))
	if change != nil {
		change(c)
	}
	logs := &cmdtest.Buffer{}
	log := cli.NewLogger(logs, slog.LevelDebug)
	p, err := New(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	p.hooks.Timeout = time.Minute // a slow machine must also follow a hint at once
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.WithoutCancel(t.Context())) })
	cmdtest.Eventually(t, "the database is in use", p.startup.done.Load) // on a slow disk the server starts before that
	return &installation{Server: p, ory: k, logs: logs}
}

// signIn sends a person's first request, and returns the user's ID.
func (i *installation) signIn(t *testing.T, token string) string {
	t.Helper()
	return cmdtest.SignIn(t, i.Public(), token)
}

// born signs a person up, sends a first request, and also returns the user's ID.
func (i *installation) born(t *testing.T, email string) (*symbolontest.Person, string) {
	t.Helper()
	p, err := i.ory.Register(t.Context(), email, cmdtest.Password, "cAnArY name")
	if err != nil {
		t.Fatal(err)
	}
	return p, i.signIn(t, p.Token)
}
