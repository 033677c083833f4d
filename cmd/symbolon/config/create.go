package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/createurl"
	"github.com/symbolon-id/symbolon/projection"
)

// checkCreate is about the application that makes its users itself.
func (c *Config) checkCreate(r *report) {
	u := &c.Users
	if u.CreateURL == "" {
		if len(u.CreateSecret) > 0 {
			r.fault("users.create_secret", "it is of no use without users.create_url")
		}
		return
	}
	if err := createurl.CheckURL(u.CreateURL); err != nil {
		r.fault("users.create_url", "%s", err)
	}
	for _, key := range []string{"table", "id", "identity", "new_id"} {
		if path := "users." + key; r.origin(path) != "" {
			r.fault(path, "leave it out beside users.create_url: the application makes its users itself, wherever they are")
		}
	}
	if u.OnIdentityDeleted != symbolon.KeepRow {
		r.fault("users.on_identity_deleted", "it can only be keep beside users.create_url: Symbolon does not write the application's rows")
	}
	if c.Adopt.VerifiedEmail {
		r.fault("adopt.verified_email", "leave it out beside users.create_url: there is no users table to look for addresses in; the application may answer with the user that it has")
	}
	for path, columns := range map[string][]string{"users.release_columns": u.ReleaseColumns, "users.anonymise_columns": u.AnonymiseColumns} {
		if len(columns) > 0 {
			r.fault(path, "leave it out beside users.create_url: Symbolon does not write the application's rows")
		}
	}
	for _, column := range slices.Sorted(maps.Keys(u.Columns)) {
		path := "users.columns." + shown(column)
		switch _, err := projection.Parse(column, u.Columns[column]); {
		case len(column) > 128 || strings.ContainsFunc(column, func(c rune) bool { return !unicode.IsPrint(c) }):
			r.fault(path, "a name is at most 128 visible characters")
		case err != nil:
			r.fault(path, projectionRule)
		}
	}
	c.checkCreateSecrets(r)
}

func (c *Config) checkCreateSecrets(r *report) {
	const path = "users.create_secret"
	if len(c.Users.CreateSecret) > 2 {
		r.fault(path, "it takes two at most: the current one, and the other while they are rotated")
	}
	seen := map[Hidden]bool{}
	for i, s := range c.Users.CreateSecret {
		at := fmt.Sprintf("%s[%d]", path, i)
		if err := createurl.CheckSecret(s.Reveal()); err != nil {
			r.fault(at, "%s", err)
		} else if seen[s] {
			r.fault(at, "it stands twice")
		}
		seen[s] = true
	}
}

// Where says where the users are, for the log. A URL may have a query, which is left
// out.
func (u UsersConfig) Where() string {
	if u.CreateURL != "" {
		url, _, _ := strings.Cut(u.CreateURL, "?")
		return url
	}
	return u.Table
}

// CreateSecrets are the configured ones, or else the derived.
func (c *Config) CreateSecrets() (out []string) {
	if len(c.Users.CreateSecret) == 0 {
		return createurl.DeriveSecrets(c.Secrets())
	}
	for _, s := range c.Users.CreateSecret {
		out = append(out, s.Reveal())
	}
	return out
}
