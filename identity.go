package symbolon

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// IdentityID is the ID that Ory gave an identity: a UUID in its canonical
// lower-case form, never the nil UUID. Make one with [ParseIdentityID].
type IdentityID string

const nilUUID = "00000000-0000-0000-0000-000000000000"

// ParseIdentityID reads a UUID of 36 characters. Upper-case digits are folded;
// every other form (braces, "urn:uuid:", no hyphens) and the nil UUID, which Ory
// sends in hooks that run before an identity exists, is an error.
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
		return "", errors.New("identity ID: the nil UUID names nobody")
	}
	return IdentityID(id), nil
}

// State is Ory's word on an identity. An inactive one cannot sign in.
type State string

const (
	Active   State = "active"
	Inactive State = "inactive"
)

// Identity is Ory's half of a person, as far as Symbolon looks at it. Traits and
// metadata stay raw JSON so that no number is rounded on its way through.
type Identity struct {
	ID             IdentityID
	SchemaID       string
	State          State
	Traits         json.RawMessage
	MetadataPublic json.RawMessage
	MetadataAdmin  json.RawMessage // only the admin API shows it
	ExternalID     string          // Kratos v25.4 and newer
	Addresses      []Address
	CreatedAt      time.Time

	// ChangedAt is the newest time that Ory shows for a change: of the identity
	// (frozen in Kratos v1.1 to v1.3.1), of its state, of an address. Changes that
	// none of them tells of exist: a hint, never proof.
	ChangedAt time.Time
}

// Address is one of an identity's verifiable addresses.
type Address struct {
	Value    string
	Via      string // "email" or "sms"
	Verified bool
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
