package symbolon

import (
	"strings"
	"unicode/utf8"
)

// NormalEmail is the one form in which e-mail addresses are compared, and only ever
// under the rules of adopting: ASCII letters are lowered and nothing else is changed.
// !ok: the address matches nobody. That is one without exactly one "@" between two
// parts, one with blanks, control characters or invalid bytes, and one with a rune at
// or behind U+0300. Below that, text is always in Unicode's normal form C; from there
// on normalising would turn characters into others, U+212A KELVIN SIGN into a K, and
// what only looks alike must never be the same person. Such an address is bound by
// the operator's word.
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

// Emails lists the e-mail addresses of an identity, verified or not, as [NormalEmail]
// makes them, each once.
func (i Identity) Emails() []string { return i.emails(false) }

// VerifiedEmails lists those of them that Ory has verified.
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

// Match is a row of the users table that has one of an identity's e-mail addresses.
type Match struct {
	Row
	Retired  bool
	Email    string // as [NormalEmail] makes it
	Verified bool   // by the application
}
