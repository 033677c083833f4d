package symbolon

import (
	"strings"
	"unicode/utf8"
)

// NormalEmail returns the form in which adopting compares e-mail addresses: ASCII letters
// are lowered, and nothing else is changed.
//
// It returns false for an address that must match nobody: without exactly one "@" between
// two parts, or with blanks, control characters, invalid bytes or a rune from U+0300 on.
// Text below U+0300 is always in Unicode's normal form C. From there on normalising would
// turn characters into others, for example U+212A KELVIN SIGN into a K, and two addresses
// that only look alike must never be one person. The operator binds such an address by
// hand.
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
