// Package mint makes user IDs with an HMAC that proves that Symbolon minted them, vouchers and
// invites for existing users, and proofs for IDs that were drawn from the database.
package mint

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Minter makes user IDs, vouchers, invites and reserved proofs, and checks them.
//
// An ID is a UUIDv7 (RFC 9562): 48 bits of milliseconds, then 32 random bits,
// then 42 bits of an HMAC-SHA256 over the project and the rest:
//
//	 48 bits      4      12         2      20         42
//	+------------+---+----------+----+----------+------------+
//	| time in ms | 7 | random   | 10 | random   | HMAC       |
//	+------------+---+----------+----+----------+------------+
//
// It looks and sorts like any UUIDv7. Without the secret a valid ID takes 2^42 guesses,
// and each guess needs a write to Ory's admin API. A right guess gains only a fresh user
// with a chosen ID, and never another person's user.
//
// The zero Minter has no key. It makes plain UUIDv7s, which prove nothing. A Minter may be
// used by many goroutines at once.
type Minter struct {
	project  string
	ids      [][]byte // HMAC keys; the first one signs
	vouchers [][]byte
	reserved [][]byte
	invites  [][]byte
	invited  [][]byte // for the proof that an invite was used

	addresses [][]byte
}

// NewMinter makes a minter for a project. The first secret signs, and all of them are
// accepted, so that secrets can be rotated.
func NewMinter(project string, secrets ...symbolon.Secret) *Minter {
	m := &Minter{project: project}
	for _, s := range secrets {
		m.ids = append(m.ids, s.Derive("mint"))
		m.vouchers = append(m.vouchers, s.Derive("voucher"))
		m.reserved = append(m.reserved, s.Derive("reserved"))
		m.invites = append(m.invites, s.Derive("invite"))
		m.invited = append(m.invited, s.Derive("invited"))
		m.addresses = append(m.addresses, s.Derive("address"))
	}
	return m
}

// Mint makes a new ID. Nothing is stored, so an ID that is never used costs nothing.
func (m *Minter) Mint(now time.Time) symbolon.UserID {
	var u [16]byte
	_, _ = rand.Read(u[6:]) // never fails (crypto/rand)
	ms := uint64(max(now.UnixMilli(), 0))
	u[0], u[1], u[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
	u[3], u[4], u[5] = byte(ms>>16), byte(ms>>8), byte(ms)
	u[6] = 0x70 | u[6]&0x0f
	u[8] = 0x80 | u[8]&0x3f
	if len(m.ids) > 0 {
		m.seal(m.ids[0], &u)
	}
	return symbolon.UserIDFromUUID(u)
}

// Minted reports whether id is a canonical UUIDv7 that this project minted with one of its
// secrets. Its running time reveals neither how close a guess is nor which secret matches.
func (m *Minter) Minted(id symbolon.UserID) bool {
	u, err := id.UUID()
	if err != nil || u[6]>>4 != 7 || u[8]>>6 != 2 || symbolon.UserIDFromUUID(u) != id {
		return false
	}
	ok := 0
	for _, key := range m.ids {
		want := u
		m.seal(key, &want)
		ok |= subtle.ConstantTimeCompare(want[10:], u[10:])
	}
	return ok == 1
}

// seal overwrites the last 42 bits with the HMAC of everything before them.
func (m *Minter) seal(key []byte, u *[16]byte) {
	const keep = 0xfc // of byte 10: 6 random bits stay, 2 bits of HMAC follow
	u[10] &= keep
	mac := hmac.New(sha256.New, key)
	writePrefixed(mac, []byte(m.project))
	mac.Write(u[:11])
	sum := mac.Sum(nil)
	u[10] |= sum[0] &^ keep
	copy(u[11:], sum[1:6])
}

// writePrefixed writes the length of b and then b, so that no two lists of parts give the
// same bytes.
func writePrefixed(w interface{ Write([]byte) (int, error) }, b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	_, _ = w.Write(n[:])
	_, _ = w.Write(b)
}
