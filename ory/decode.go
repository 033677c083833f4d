package ory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Session is what Ory says of a session.
type Session struct {
	symbolon.Session

	// Active is Ory's own judgement: neither revoked nor expired, and the identity,
	// where it is shown, may sign in.
	Active bool

	// Identity is whose session it is; nil where Ory does not say.
	Identity *symbolon.Identity
}

// DecodeIdentity reads an identity as Kratos writes it. Keys count in their exact
// spelling and only once, so that nobody else reads another identity in the same
// bytes. Unknown keys are ignored; traits and metadata are not looked into.
func DecodeIdentity(doc []byte) (symbolon.Identity, error) {
	err := valid(doc)
	if err == nil {
		var i symbolon.Identity
		if i, err = identity(doc); err == nil {
			return i, nil
		}
	}
	return symbolon.Identity{}, fmt.Errorf("identity: %w", err)
}

// DecodeSession reads a session as Kratos writes it, in the manner of
// [DecodeIdentity].
func DecodeSession(doc []byte) (Session, error) {
	err := valid(doc)
	if err == nil {
		var s Session
		if s, err = session(doc); err == nil {
			return s, nil
		}
	}
	return Session{}, fmt.Errorf("session: %w", err)
}

func identity(doc []byte) (i symbolon.Identity, err error) {
	f, err := object(doc)
	if err != nil {
		return i, err
	}
	id, e1 := f.text("id")
	state, e2 := f.text("state")
	created, e3 := f.time("created_at")
	schema, e4 := f.optional("schema_id")
	external, e5 := f.optional("external_id")
	addresses, verified, e6 := addresses(f["verifiable_addresses"])
	if err := errors.Join(e1, e2, e3, e4, e5, e6); err != nil {
		return i, err
	}
	i = symbolon.Identity{SchemaID: schema, State: symbolon.State(state), Traits: f.raw("traits"),
		MetadataPublic: f.raw("metadata_public"), MetadataAdmin: f.raw("metadata_admin"), ExternalID: external,
		Addresses: addresses, CreatedAt: created, ChangedAt: f.newest(verified, "updated_at", "state_changed_at")}
	i.ID, err = symbolon.ParseIdentityID(id)
	return i, err
}

// addresses also returns when the last of them was verified.
func addresses(doc []byte) (out []symbolon.Address, verified time.Time, err error) {
	items, err := array(doc)
	if err != nil || len(items) == 0 {
		return nil, verified, err
	}
	out = make([]symbolon.Address, len(items))
	for n, item := range items {
		f, err := object(item)
		if err != nil {
			return nil, verified, fmt.Errorf("verifiable_addresses: %w", err)
		}
		value, e1 := f.text("value")
		via, e2 := f.optional("via")
		isVerified, e3 := f.boolean("verified")
		if err := errors.Join(e1, e2, e3); err != nil {
			return nil, verified, fmt.Errorf("verifiable_addresses: %w", err)
		}
		out[n] = symbolon.Address{Value: value, Via: via, Verified: isVerified}
		verified = f.newest(verified, "verified_at")
	}
	return out, verified, nil
}

func session(doc []byte) (s Session, err error) {
	f, err := object(doc)
	if err != nil {
		return s, err
	}
	id, e1 := f.text("id")
	active, e2 := f.boolean("active")
	expires, e3 := f.time("expires_at")
	authenticated, e4 := f.time("authenticated_at")
	aal, e5 := f.optional("authenticator_assurance_level")
	if err := errors.Join(e1, e2, e3, e4, e5); err != nil {
		return s, err
	}
	canonical, err := symbolon.ParseIdentityID(id) // a session's ID has the same form
	if err != nil {
		return s, errors.New("its ID is not a UUID")
	}
	s = Session{Active: active, Session: symbolon.Session{
		ID: string(canonical), AAL: aal, AuthenticatedAt: authenticated, ExpiresAt: expires}}
	if raw := f["identity"]; !isNull(raw) {
		i, err := identity(raw)
		if err != nil {
			return s, fmt.Errorf("its identity: %w", err)
		}
		s.Identity = &i
	}
	return s, nil
}

// raw returns a member as it stands, apart from the rest of the document.
func (f fields) raw(key string) json.RawMessage { return bytes.Clone(f[key]) }

// text returns a member that must be a string.
func (f fields) text(key string) (string, error) {
	if isNull(f[key]) {
		return "", fmt.Errorf("%s is missing", key)
	}
	return f.optional(key)
}

// optional returns a member that must be a string, null or absent.
func (f fields) optional(key string) (string, error) {
	if isNull(f[key]) {
		return "", nil
	}
	s, ok := unquote(f[key])
	if !ok {
		return "", fmt.Errorf("%s is not a string", key)
	}
	return s, nil
}

func (f fields) boolean(key string) (bool, error) {
	switch string(f[key]) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s is not a boolean", key)
}

// newest is the newest of t and of those of the named times that can be read: they
// are hints.
func (f fields) newest(t time.Time, keys ...string) time.Time {
	for _, key := range keys {
		if isNull(f[key]) {
			continue
		}
		if at, err := f.time(key); err == nil && at.After(t) {
			t = at
		}
	}
	return t
}

func (f fields) time(key string) (time.Time, error) {
	s, err := f.text(key)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is not a time", key)
	}
	return t.UTC(), nil
}
