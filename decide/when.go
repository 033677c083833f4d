package decide

import (
	"slices"

	"github.com/symbolon-id/symbolon"
)

// When says which identities get a user. The zero value admits every identity. It decides
// only whether a user is made: an identity that has a user keeps it, and an existing user can
// be bound to every identity.
type When struct {
	// SchemaIDs are the identity schemas whose identities get users. Empty: every schema.
	SchemaIDs []string

	// Verified requires an address that Ory has verified, of e-mail or of a phone. An identity
	// whose schema has no verifiable address never has one.
	Verified bool
}

// Chooses reports whether not every identity gets a user.
func (w When) Chooses() bool { return len(w.SchemaIDs) > 0 || w.Verified }

// Admits reports whether the identity gets a user.
func (w When) Admits(id symbolon.Identity) bool { return w.Refuses(id) == "" }

// Refuses says why the identity gets no user. It returns "" if it gets one.
func (w When) Refuses(id symbolon.Identity) string {
	switch {
	case !w.AdmitsSchema(id):
		return "its schema is not in users.when.schema_id"
	case w.Verified && !id.Verified():
		return "Ory has verified none of its addresses, and users.when.verified is true"
	}
	return ""
}

// AdmitsSchema reports whether the identity's schema is one of those that get users.
func (w When) AdmitsSchema(id symbolon.Identity) bool {
	return len(w.SchemaIDs) == 0 || slices.Contains(w.SchemaIDs, id.SchemaID)
}
