package symbolon

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// IdentityID is the ID that Ory gave an identity: a UUID in its canonical
// lower-case form, never the nil UUID. Make one with [ParseIdentityID].
type IdentityID string

// ParseIdentityID reads a UUID of 36 characters and converts it to lower case. Every other
// form (braces, "urn:uuid:", no hyphens) is an error. So is the nil UUID, which Ory sends
// in hooks that run before an identity exists.
func ParseIdentityID(s string) (IdentityID, error) {
	u, err := parseUUID(s)
	if err != nil {
		return "", fmt.Errorf("identity ID: %w", err)
	}
	id := s
	if strings.ContainsAny(s, "ABCDEF") {
		id = formatUUID(u)
	}
	if id == nilUUID {
		return "", errors.New("identity ID: the nil UUID is the ID of no identity")
	}
	return IdentityID(id), nil
}

// State says whether an identity may sign in. An inactive identity may not.
type State string

const (
	Active   State = "active"
	Inactive State = "inactive"
)

// Identity is Ory's half of a person, as far as Symbolon reads it. Traits and metadata
// stay raw JSON, so that no number is rounded.
type Identity struct {
	ID             IdentityID
	SchemaID       string
	State          State
	Traits         json.RawMessage
	MetadataPublic json.RawMessage
	MetadataAdmin  json.RawMessage // shown by the admin API only
	ExternalID     string          // Kratos v25.4 and newer
	OrganizationID string          // Ory Network and the Enterprise License
	Addresses      []Address
	CreatedAt      time.Time

	// ChangedAt is the newest of the times of change that Ory shows: of the identity (a
	// time that never changes in Kratos v1.1 to v1.3.1), of its state, and of its
	// addresses. It is a hint, not a proof, because some changes update none of these times.
	ChangedAt time.Time

	// Transient is the transient_payload of the sign-up form. Only the link hook sends it, and
	// only the paths that columns are filled from. Ory does not store it.
	//
	// Danger: the browser chose it, and nobody has checked it.
	Transient json.RawMessage
}

// Address is one of an identity's verifiable addresses.
type Address struct {
	Value    string
	Via      string // "email" or "sms"
	Verified bool
}

// NormalEmail returns the form in which adopting compares e-mail addresses: ASCII letters
// are converted to lower case, and nothing else is changed.
//
// NormalEmail returns false for an address that must match nobody. An address matches
// nobody if it does not have exactly one "@", if nothing is before or after the "@", if it
// is longer than 254 bytes, or if it contains blanks, control characters, soft hyphens,
// invalid bytes or a rune from U+0300 on. Unicode normalisation (NFC) leaves the characters
// below U+0300 unchanged, and changes some of the others: U+212A KELVIN SIGN becomes K. Two
// addresses that only look alike must never be taken for one person. The operator can bind
// an identity with such an address by hand.
func NormalEmail(address string) (normal string, ok bool) {
	local, domain, found := strings.Cut(address, "@")
	if !found || local == "" || domain == "" || strings.Contains(domain, "@") || len(address) > 254 || !utf8.ValidString(address) {
		return "", false
	}
	odd := func(r rune) bool {
		return r <= ' ' || r >= 0x7f && r <= 0xa0 || r == 0xad || r >= 0x300 // blanks, controls, the soft hyphen
	}
	if strings.ContainsFunc(address, odd) {
		return "", false
	}
	lower := func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	return strings.Map(lower, address), true
}

// VerifiedEmail returns the first e-mail address that Ory has verified, or "".
func (i Identity) VerifiedEmail() string {
	for _, a := range i.Addresses {
		if a.Verified && (a.Via == "" || a.Via == "email") {
			return a.Value
		}
	}
	return ""
}

// Verified reports whether Ory has verified one of the addresses, of e-mail or of a phone.
func (i Identity) Verified() bool {
	return slices.ContainsFunc(i.Addresses, func(a Address) bool { return a.Verified })
}

// Emails lists the e-mail addresses of an identity, verified or not, as [NormalEmail]
// returns them, each once.
func (i Identity) Emails() []string { return i.emails(false) }

// VerifiedEmails is Emails without the addresses that Ory has not verified.
func (i Identity) VerifiedEmails() []string { return i.emails(true) }

func (i Identity) emails(verified bool) (out []string) {
	known := map[string]bool{}
	for _, a := range i.Addresses {
		if a.Via != "" && a.Via != "email" || verified && !a.Verified {
			continue
		}
		if normal, ok := NormalEmail(a.Value); ok && !known[normal] {
			known[normal] = true
			out = append(out, normal)
		}
	}
	return out
}

// nilUUID is the UUID of zeros.
const nilUUID = "00000000-0000-0000-0000-000000000000"

// digits are the positions of the 16 pairs of digits in a UUID.
var digits = [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// parseUUID reads a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, in upper or lower
// case. Every other form is an error, which repeats at most 64 bytes of s.
func parseUUID(s string) (u [16]byte, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, fmt.Errorf("%q is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", clip(s))
	}
	for n, at := range digits {
		hi, ok1 := unhex(s[at])
		lo, ok2 := unhex(s[at+1])
		if !ok1 || !ok2 {
			return u, fmt.Errorf("%q is not a UUID: only hexadecimal digits are allowed", clip(s))
		}
		u[n] = hi<<4 | lo
	}
	return u, nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// formatUUID writes a UUID in lower case.
func formatUUID(u [16]byte) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.Grow(36)
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b.WriteByte('-')
		}
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// clip keeps the text of an error short.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
