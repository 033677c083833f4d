package symbolon

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/internal/uuid"
)

// IdentityID is the ID that Ory gave an identity: a UUID in its canonical
// lower-case form, never the nil UUID. Make one with [ParseIdentityID].
type IdentityID string

// ParseIdentityID reads a UUID of 36 characters and lowers its digits. Every other form
// (braces, "urn:uuid:", no hyphens) is an error. So is the nil UUID, which Ory sends in
// hooks that run before an identity exists.
func ParseIdentityID(s string) (IdentityID, error) {
	u, err := uuid.Parse(s)
	if err != nil {
		return "", fmt.Errorf("identity ID: %w", err)
	}
	id := s
	if strings.ContainsAny(s, "ABCDEF") {
		id = uuid.Format(u)
	}
	if id == uuid.Nil {
		return "", errors.New("identity ID: the nil UUID names nobody")
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
	Addresses      []Address
	CreatedAt      time.Time

	// ChangedAt is the newest time of a change that Ory shows: of the identity (frozen in
	// Kratos v1.1 to v1.3.1), of its state, or of an address. It is a hint and no proof,
	// because some changes move none of these times.
	ChangedAt time.Time
}

// Address is one of an identity's verifiable addresses.
type Address struct {
	Value    string
	Via      string // "email" or "sms"
	Verified bool
}
