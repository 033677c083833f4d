package config

import (
	"maps"
	"slices"
)

// AdoptConfig is about users who were there before their identities.
type AdoptConfig struct {
	// VerifiedEmail binds an identity to an existing user by an e-mail address that
	// both sides verified, and holds it while one has not.
	VerifiedEmail bool `yaml:"verified_email"`

	// VerifiedColumn is the column of the users table that says that the application
	// verified the address: a boolean, an integer, or the time of it.
	VerifiedColumn string `yaml:"verified_column"`
}

func (c *Config) checkAdopt(r *report) {
	if name := c.Adopt.VerifiedColumn; name != "" && !nameForm.MatchString(name) {
		r.fault("adopt.verified_column", nameRule)
	}
	if !c.Adopt.VerifiedEmail {
		return
	}
	if c.Users.CreateURL != "" {
		r.fault("adopt.verified_email", "with users.create_url there is no users table whose addresses could be compared; leave it out")
	}
	if c.Adopt.VerifiedColumn == "" {
		r.fault("adopt.verified_column", "adopt.verified_email needs the column that says that the application verified the address")
	}
	if c.Ory.AdminURL == "" {
		r.fault("adopt.verified_email", "it needs ory.admin_url: an address counts only as Ory has it at that moment")
	}
	if c.EmailColumn() == "" {
		r.fault("adopt.verified_email", "users.columns must say which column holds the e-mail address: one, and only one, from traits.email or verified_email")
	}
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
