package mint

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// An invite lets one person sign up as an existing user that has no identity. The person's
// browser sends it in transient_payload.symbolon_invite of the sign-up form.
//
// The reserve hook verifies the invite and answers the user's ID. Beside the ID it puts a
// proof, which the identity carries in metadata_public. The proof binds the identity to the
// user. It cannot name the identity, which has no ID yet. So it names the moment at which it
// was made, and is valid only for an identity that Ory created at that moment: neither a person
// nor a hook can choose created_at of an identity.
//
// Both have the form PREFIX USER.SECONDS.HMAC. Their HMACs have keys of their own, so a
// voucher, a reserved proof, an invite and the proof of an invite are never taken for one
// another.

const (
	invitePrefix  = "i1."
	invitedPrefix = "b1."
)

// maxTimed is longer than every invite of a user's key of 255 bytes.
const maxTimed = 512

// InvitedKey returns the key below metadata_public of the proof that an invite was used.
func InvitedKey(key string) string { return key + invitedSuffix }

const invitedSuffix = "_invited"

// Ours reports whether a member of metadata_public is one that the reserve hook writes: the ID
// at key, or a proof beside it. It makes no garbage, because each sign-up calls it.
func Ours(name []byte, key string) bool {
	if len(name) < len(key) || string(name[:len(key)]) != key {
		return false
	}
	switch string(name[len(key):]) {
	case "", reservedSuffix, invitedSuffix:
		return true
	}
	return false
}

// Invitation is what an invite, or the proof that it was used, says.
type Invitation struct {
	User symbolon.UserID

	// At is when the invite expires, or when its proof was made. A proof whose At is the zero
	// time records an invite that was refused, and proves nothing.
	At time.Time
}

// Invite makes an invite for a user, valid until expires.
func (m *Minter) Invite(user symbolon.UserID, expires time.Time) (string, error) {
	return m.timed(m.invites, invitePrefix, Invitation{user, expires})
}

// ReadInvite reads an invite. It reports whether this project made it, and not whether it has
// expired.
func (m *Minter) ReadInvite(text string) (Invitation, bool) {
	return m.readTimed(m.invites, invitePrefix, text)
}

// Invited makes the proof that an invite of the user was used at the time i.At.
func (m *Minter) Invited(i Invitation) (string, error) {
	return m.timed(m.invited, invitedPrefix, i)
}

// ReadInvited reads the proof that an invite was used. It reports whether this project made it,
// and not whether it belongs to a certain identity.
func (m *Minter) ReadInvited(text string) (Invitation, bool) {
	return m.readTimed(m.invited, invitedPrefix, text)
}

func (m *Minter) timed(keys [][]byte, prefix string, i Invitation) (string, error) {
	if len(keys) == 0 {
		return "", fmt.Errorf("invite user %s: no secret is configured", i.User)
	}
	seconds := "0"
	if !i.At.IsZero() {
		seconds = strconv.FormatInt(i.At.Unix(), 10)
	}
	return prefix + base64.RawURLEncoding.EncodeToString([]byte(i.User)) + "." + seconds + "." + m.timedProof(keys[0], string(i.User), seconds), nil
}

func (m *Minter) readTimed(keys [][]byte, prefix, text string) (Invitation, bool) {
	rest, ok := strings.CutPrefix(text, prefix)
	user, rest, ok2 := strings.Cut(rest, ".")
	seconds, proof, ok3 := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(user)
	n, err2 := strconv.ParseInt(seconds, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil || err2 != nil || len(text) > maxTimed || len(raw) == 0 {
		return Invitation{}, false
	}
	match := 0
	for _, key := range keys {
		match |= subtle.ConstantTimeCompare([]byte(m.timedProof(key, string(raw), seconds)), []byte(proof))
	}
	if match != 1 {
		return Invitation{}, false
	}
	i := Invitation{User: symbolon.UserID(raw)}
	if n != 0 {
		i.At = time.Unix(n, 0).UTC()
	}
	return i, true
}

func (m *Minter) timedProof(key []byte, user, seconds string) string {
	mac := hmac.New(sha256.New, key)
	writePrefixed(mac, []byte(m.project))
	writePrefixed(mac, []byte(user))
	writePrefixed(mac, []byte(seconds))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
