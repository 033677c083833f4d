package config

import (
	"maps"
	"slices"

	"github.com/symbolon-id/symbolon/internal/condition"
)

// AdoptConfig is about users that existed before their identities.
type AdoptConfig struct {
	// VerifiedEmail binds an identity to an existing user by an e-mail address that both
	// sides have verified. While one side has not, the identity is on hold.
	VerifiedEmail bool `yaml:"verified_email"`

	// VerifiedColumn is the column of the users table that says whether the application
	// has verified the address: a boolean, an integer, or the time of the verification.
	VerifiedColumn string `yaml:"verified_column"`
}

func (c *Config) checkAdopt(r *report) {
	name := c.Adopt.VerifiedColumn
	r.faultIf(name != "" && !condition.IsName(name), "adopt.verified_column", nameRule)
	if !c.Adopt.VerifiedEmail {
		return
	}
	r.rules(
		rule{c.Users.CreateURL != "", "adopt.verified_email", "with users.create_url there is no users table whose addresses could be compared; leave it out"},
		rule{name == "", "adopt.verified_column", "adopt.verified_email needs the column that says that the application verified the address"},
		rule{c.Ory.AdminURL == "", "adopt.verified_email", "it needs ory.admin_url, because Symbolon reads the address at Ory's admin API before it binds"},
		rule{c.EmailColumn() == "", "adopt.verified_email", "exactly one column in users.columns must be filled from traits.email or verified_email"},
	)
}

// EmailColumn is the one column that e-mail addresses are written to, or empty.
func (c *Config) EmailColumn() (column string) {
	columns := c.Users.Columns
	if columns == nil && c.Users.Table == OwnTable {
		columns = OwnColumns()
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		if expr := columns[name]; expr == "traits.email" || expr == "verified_email" {
			if column != "" {
				return ""
			}
			column = name
		}
	}
	return column
}
