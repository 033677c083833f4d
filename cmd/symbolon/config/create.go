package config

import (
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/createurl"
)

// checkCreate checks the keys for an application that makes its users itself.
func (c *Config) checkCreate(r *report) {
	u := &c.Users
	if u.CreateURL == "" {
		r.faultIf(len(u.CreateSecret) > 0, "users.create_secret", "it has no effect without users.create_url")
		return
	}
	r.faultIn("users.create_url", createurl.CheckURL(u.CreateURL))
	for _, key := range []string{"table", "id", "identity", "new_id"} {
		path := "users." + key
		r.faultIf(r.origin(path) != "", path, "leave it out with users.create_url: the application makes its users itself")
	}
	const noRows = "leave it out with users.create_url: Symbolon does not write the application's rows"
	r.rules(
		rule{u.OnIdentityDeleted != symbolon.KeepRow, "users.on_identity_deleted", "it can only be keep with users.create_url: Symbolon does not write the application's rows"},
		rule{c.Adopt.VerifiedEmail, "adopt.verified_email", "leave it out with users.create_url: there is no users table with addresses; the application can answer with an existing user"},
		rule{len(u.ReleaseColumns) > 0, "users.release_columns", noRows},
		rule{len(u.AnonymiseColumns) > 0, "users.anonymise_columns", noRows},
		rule{u.Placeholder != "", "users.placeholder", noRows},
	)
	u.checkColumns(r, func(path, column string) {
		r.faultIf(len(column) > 128 || cli.Plain(column) != column, path, "a name must be at most 128 visible characters")
	})
	c.checkCreateSecrets(r)
}

func (c *Config) checkCreateSecrets(r *report) {
	const path = "users.create_secret"
	r.faultIf(len(c.Users.CreateSecret) > 2, path, "at most two secrets are allowed: the current secret, and during a rotation a second secret")
	seen := map[Hidden]bool{}
	for i, s := range c.Users.CreateSecret {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.faultIn(at, createurl.CheckSecret(s.Reveal()))
		r.faultIf(seen[s], at, "the list contains it twice")
		seen[s] = true
	}
}

// Where says where the users are, for the log: the table, or the URL without its query.
func (u UsersConfig) Where() string {
	if u.CreateURL != "" {
		url, _, _ := strings.Cut(u.CreateURL, "?")
		return url
	}
	return u.Table
}

// CreateSecrets are the configured secrets, or else the derived ones.
func (c *Config) CreateSecrets() []string {
	return OrDerived(c.Users.CreateSecret, createurl.DeriveSecrets(c.Secrets()))
}
