package symbolon

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Secret is the one secret of an installation, of at least 32 bytes. Each use derives its
// own key by a label, so that no two uses share a key. A Secret is formatted, logged and
// marshalled as "[secret]".
type Secret []byte

const redacted = "[secret]"

// minSecret is the least number of bytes of a secret.
const minSecret = 32

// ParseSecret checks a secret from a configuration. It refuses a secret that is short, that
// repeats a few characters, or that is a known sample from documentation. The error never
// holds the secret.
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

// knownSamples occur in published configurations.
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
	if err != nil { // cannot happen: HKDF-SHA256 can always give 32 bytes
		panic("symbolon: derive key: " + err.Error())
	}
	return key
}

// String keeps the bytes out of %v and %s.
func (s Secret) String() string { return redacted }

// GoString keeps the bytes out of %#v.
func (s Secret) GoString() string { return redacted }

// LogValue keeps the bytes out of structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the bytes out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format keeps the bytes out of every verb, %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }
