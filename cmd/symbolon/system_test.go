package main

import (
	"slices"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

// TestCreateKeys: the keys of an application that makes its users itself, by a file
// and by the environment.
func TestCreateKeys(t *testing.T) {
	const url, one, two = "http://app:3000/internal/users", "whsec_F6LMPaZ4GZbXTWuR9ZEHUZ9QfnlpFKtl", "whsec_k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e"
	for name, given := range map[string]struct {
		text string
		env  environ
	}{
		"file":        {"users: {create_url: \"" + url + "\", create_secret: [\"${ONE}\", \"${TWO}\"]}\n", cmdtest.Env("ONE", one, "TWO", two)},
		"environment": {"", cmdtest.Env("SYMBOLON_USERS_CREATE_URL", url, "SYMBOLON_USERS_CREATE_SECRET", one+","+two)},
	} {
		text := given.text
		if text != "" {
			text = "secret: ${SYMBOLON_SECRET}\n" + text
		}
		c, warnings, err := load(t, text, given.env)
		if err != nil || len(warnings) != 0 {
			t.Fatalf("%s: %v %v", name, err, warnings)
		}
		creator := newCreator(c)
		if creator == nil || creator.URL != url || !slices.Equal(creator.Secrets, []string{one, two}) || len(creator.Columns) != 3 || creator.Check() != nil {
			t.Errorf("%s: %+v", name, c.Users)
		}
		if c.Users.newID() != symbolon.ByApplication || c.Users.OnIdentityDeleted != symbolon.KeepRow {
			t.Errorf("%s: new_id %s, on_identity_deleted %s", name, c.Users.newID(), c.Users.OnIdentityDeleted)
		}
		creator.Close()
	}
}
