package config

import (
	"fmt"
	"log/slog"
)

// Hidden is a text that is never shown: a key, a token, a password, a DSN. It is formatted,
// logged and marshalled as "[hidden]".
type Hidden string

// Reveal returns the text. Every call passes a secret on.
func (h Hidden) Reveal() string { return string(h) }

// String hides the text.
func (h Hidden) String() string { return "[hidden]" }

// LogValue hides the text from slog.
func (h Hidden) LogValue() slog.Value { return slog.StringValue("[hidden]") }

// MarshalText is for JSON and YAML.
func (h Hidden) MarshalText() ([]byte, error) { return []byte("[hidden]"), nil } //nolint:unparam // the interface has an error

// Format keeps the text out of every verb, %q, %x and %#v included.
func (h Hidden) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[hidden]")) }

// OrDerived are the configured keys, or else the ones that are derived from the secret.
func OrDerived(configured []Hidden, derived []string) (keys []string) {
	if len(configured) == 0 {
		return derived
	}
	for _, key := range configured {
		keys = append(keys, key.Reveal())
	}
	return keys
}
