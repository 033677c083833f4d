package ory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

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
	if !utf8.Valid(doc) {
		return symbolon.Identity{}, errors.New("identity: it is not UTF-8")
	}
	i, err := identity(doc)
	if err != nil {
		return symbolon.Identity{}, fmt.Errorf("identity: %w", err)
	}
	return i, nil
}

// DecodeSession reads a session as Kratos writes it, in the manner of
// [DecodeIdentity].
func DecodeSession(doc []byte) (Session, error) {
	if !utf8.Valid(doc) {
		return Session{}, errors.New("session: it is not UTF-8")
	}
	s, err := session(doc)
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	return s, nil
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
	addresses, e6 := addresses(f["verifiable_addresses"])
	if err := errors.Join(e1, e2, e3, e4, e5, e6); err != nil {
		return i, err
	}
	i = symbolon.Identity{SchemaID: schema, State: symbolon.State(state), Traits: f["traits"],
		MetadataPublic: f["metadata_public"], MetadataAdmin: f["metadata_admin"], ExternalID: external,
		Addresses: addresses, CreatedAt: created}
	i.ID, err = symbolon.ParseIdentityID(id)
	return i, err
}

func addresses(doc []byte) ([]symbolon.Address, error) {
	items, err := array(doc)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	out := make([]symbolon.Address, len(items))
	for n, item := range items {
		f, err := object(item)
		if err != nil {
			return nil, fmt.Errorf("verifiable_addresses: %w", err)
		}
		value, e1 := f.text("value")
		via, e2 := f.optional("via")
		verified, e3 := f.boolean("verified")
		if err := errors.Join(e1, e2, e3); err != nil {
			return nil, fmt.Errorf("verifiable_addresses: %w", err)
		}
		out[n] = symbolon.Address{Value: value, Via: via, Verified: verified}
	}
	return out, nil
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

// fields are the members of an object by their exact keys.
type fields map[string]json.RawMessage

// object splits one JSON object. The standard library's maps would take the last
// of two equal keys and its structs any spelling of a key.
func object(doc []byte) (fields, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	f := fields{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("it is not valid JSON")
		}
		if _, twice := f[key]; twice {
			return nil, errors.New("a key stands twice in it")
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, errors.New("it is not valid JSON")
		}
		f[key] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("it ends early")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return f, nil
}

// array splits a JSON array; null and nothing are empty ones.
func array(doc []byte) ([]json.RawMessage, error) {
	if isNull(doc) {
		return nil, nil
	}
	var items []json.RawMessage
	if json.Unmarshal(doc, &items) != nil {
		return nil, errors.New("a list is not a JSON array")
	}
	return items, nil
}

func isNull(doc []byte) bool {
	doc = bytes.TrimSpace(doc)
	return len(doc) == 0 || bytes.Equal(doc, []byte("null"))
}

// text returns a member that must be a string.
func (f fields) text(key string) (string, error) {
	if isNull(f[key]) {
		return "", fmt.Errorf("%s is missing", key)
	}
	return f.optional(key)
}

// optional returns a member that must be a string, null or absent.
func (f fields) optional(key string) (string, error) {
	var s string
	if !isNull(f[key]) && json.Unmarshal(f[key], &s) != nil {
		return "", fmt.Errorf("%s is not a string", key)
	}
	return s, nil
}

func (f fields) boolean(key string) (bool, error) {
	var b bool
	if isNull(f[key]) || json.Unmarshal(f[key], &b) != nil {
		return false, fmt.Errorf("%s is not a boolean", key)
	}
	return b, nil
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
