package symbolon

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Secret is the one secret of an installation: at least 32 bytes. Everything
// that needs a key of its own derives it by label, so that no two uses share one.
// A Secret prints as "[secret]" wherever it is formatted, logged or marshalled.
type Secret []byte

const redacted = "[secret]"

// minSecret is the least number of bytes of a secret.
const minSecret = 32

// ParseSecret takes a secret from a configuration. It refuses short ones, ones
// of a few repeated characters, and the samples that documentation is full of.
// The error never holds the secret.
func ParseSecret(s string) (Secret, error) {
	if len(s) < minSecret {
		return nil, fmt.Errorf("a secret needs at least %d bytes, this one has %d (make one: openssl rand -base64 32)", minSecret, len(s))
	}
	distinct := map[byte]bool{}
	for i := range len(s) {
		distinct[s[i]] = true
	}
	if len(distinct) < 8 {
		return nil, errors.New("a secret of a few repeated characters protects nothing (make one: openssl rand -base64 32)")
	}
	lower := strings.ToLower(s)
	for _, sample := range knownSamples {
		if strings.Contains(lower, sample) {
			return nil, errors.New("this secret is a sample that everybody knows (make one: openssl rand -base64 32)")
		}
	}
	return Secret(s), nil
}

// knownSamples are found in published configurations of this field.
var knownSamples = []string{
	"please-change", "please_change", "changeme", "change-me", "change_me", "please-insert", "insecure",
	"very-bad", "supersecret", "super-secret", "super_secret", "your-secret", "your_secret", "yoursecret",
	"mysecret", "my-secret", "my_secret", "example", "a-very-secret", "0123456789abcdef0123456789abcdef",
	"abcdefghijklmnopqrstuvwxyz", "12345678901234567890", "notasecret", "not-a-secret", "password",
}

// Derive returns the 32-byte key for one use (HKDF-SHA256 with the label as info).
// The same secret and label always give the same key.
func (s Secret) Derive(label string) []byte {
	key, err := hkdf.Key(sha256.New, s, nil, "symbolon/v1/"+label, 32)
	if err != nil { // 32 bytes of SHA-256 cannot be refused
		panic("symbolon: derive key: " + err.Error())
	}
	return key
}

// String keeps the bytes out of %v and %s.
func (s Secret) String() string { return redacted }

// GoString keeps them out of %#v.
func (s Secret) GoString() string { return redacted }

// LogValue keeps them out of structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps them out of JSON, YAML and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format keeps the bytes out of every verb, %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// Minter makes user IDs that prove who made them, and vouchers.
//
// An ID is a UUIDv7 (RFC 9562): 48 bits of milliseconds, then 32 random bits,
// then 42 bits of an HMAC-SHA256 over the project and the rest:
//
//	 48 bits      4      12         2      20         42
//	+------------+---+----------+----+----------+------------+
//	| time in ms | 7 | random   | 10 | random   | HMAC       |
//	+------------+---+----------+----+----------+------------+
//
// It looks and sorts like any UUIDv7. Whoever lacks the secret guesses a valid
// one in 2^42 tries, each of which needs a write to Ory's admin API; and all that
// a guess buys is a fresh user with an ID of one's choice, never somebody else's.
//
// The zero Minter has no key: it makes plain UUIDv7s and proves nothing.
// A Minter may be used by many goroutines at once.
type Minter struct {
	project  string
	ids      [][]byte // HMAC keys, current first
	vouchers [][]byte
}

// NewMinter makes a minter for a project. The first secret mints; all of them
// are accepted, so that secrets can be rotated.
func NewMinter(project string, secrets ...Secret) *Minter {
	m := &Minter{project: project}
	for _, s := range secrets {
		m.ids = append(m.ids, s.Derive("mint"))
		m.vouchers = append(m.vouchers, s.Derive("voucher"))
	}
	return m
}

// Mint makes a new ID. It needs no store: nothing is remembered, and an ID that
// is never used costs nothing.
func (m *Minter) Mint(now time.Time) UserID {
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
	return UserIDFromUUID(u)
}

// Minted reports whether id is a canonical UUIDv7 that this project minted with
// one of its secrets. The time it takes does not depend on how near a guess is,
// nor on which secret fits.
func (m *Minter) Minted(id UserID) bool {
	u, err := id.UUID()
	if err != nil || u[6]>>4 != 7 || u[8]>>6 != 2 || UserIDFromUUID(u) != id {
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

// Voucher is what an identity made for an existing user carries in
// metadata_admin.symbolon: the word of whoever holds the secret that this
// identity belongs to that user. It is good while the user is unlinked.
type Voucher struct {
	User  UserID `json:"user"`
	Proof string `json:"proof"`
}

const voucherPrefix = "v1."

// Voucher makes a voucher for a user.
func (m *Minter) Voucher(user UserID) (Voucher, error) {
	if len(m.vouchers) == 0 {
		return Voucher{}, fmt.Errorf("voucher for user %s: no secret is configured", user)
	}
	return Voucher{User: user, Proof: voucherPrefix + m.proof(m.vouchers[0], user)}, nil
}

// Vouched reports whether the voucher was made by this project for its user.
func (m *Minter) Vouched(v Voucher) bool {
	ok := 0
	for _, key := range m.vouchers {
		ok |= subtle.ConstantTimeCompare([]byte(voucherPrefix+m.proof(key, v.User)), []byte(v.Proof))
	}
	return ok == 1
}

func (m *Minter) proof(key []byte, user UserID) string {
	mac := hmac.New(sha256.New, key)
	writePrefixed(mac, []byte(m.project))
	writePrefixed(mac, []byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// voucherOf reads metadata_admin.symbolon. present says that there is something,
// readable or not.
func voucherOf(metadataAdmin json.RawMessage) (v Voucher, present bool) {
	var top map[string]json.RawMessage
	if json.Unmarshal(metadataAdmin, &top) != nil {
		return v, false
	}
	raw, present := top["symbolon"]
	if !present || json.Unmarshal(raw, &v) != nil {
		return Voucher{}, present
	}
	return v, true
}

// writePrefixed writes b behind its length, so that no two lists of parts make
// the same bytes.
func writePrefixed(w interface{ Write([]byte) (int, error) }, b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	_, _ = w.Write(n[:])
	_, _ = w.Write(b)
}
