package mint

import (
	"crypto/subtle"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// A reserved proof says that this project drew a user ID from the database before the
// user existed, for an identity that was about to be stored. It is for IDs that have no
// room for a proof of their own, such as 42. The identity carries it in metadata_public,
// beside the ID.
//
// Danger: the proof does not name the identity, because the identity has no ID yet when the
// proof is made. So it may make a new user with this ID, once. It never proves that an
// existing user belongs to the identity.

const reservedPrefix = "r1."

// ReservedKey returns the key below metadata_public of the proof for the ID at key.
func ReservedKey(key string) string { return key + reservedSuffix }

const reservedSuffix = "_reserved"

// Reserve makes the proof for an ID that was drawn from the database.
func (m *Minter) Reserve(user symbolon.UserID) (string, error) {
	if len(m.reserved) == 0 {
		return "", fmt.Errorf("reserve the ID %s: no secret is configured", user)
	}
	return reservedPrefix + m.proof(m.reserved[0], user), nil
}

// Reserved reports whether this project made the proof for the ID, with one of its secrets.
func (m *Minter) Reserved(user symbolon.UserID, proof string) bool {
	ok := 0
	for _, key := range m.reserved {
		ok |= subtle.ConstantTimeCompare([]byte(reservedPrefix+m.proof(key, user)), []byte(proof))
	}
	return ok == 1
}
