package ory

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// Session is what Ory says about a session.
type Session struct {
	symbolon.Session

	// Active says that, according to Ory, the session is neither revoked nor expired, and
	// that the identity, if it is shown, may sign in.
	Active bool

	// Identity is the identity of the session; nil if Ory does not show it.
	Identity *symbolon.Identity
}

// DecodeIdentity reads an identity as Kratos writes it. Keys are case-sensitive and may
// occur only once, so that every program reads the same identity in the same bytes. Unknown
// keys are ignored. Traits and metadata are not decoded.
func DecodeIdentity(doc []byte) (symbolon.Identity, error) {
	i, err := identity(doc)
	if err != nil {
		return symbolon.Identity{}, fmt.Errorf("identity: %w", err)
	}
	return i, nil
}

// DecodeSession reads a session as Kratos writes it, as strictly as [DecodeIdentity].
func DecodeSession(doc []byte) (Session, error) {
	s, err := session(doc)
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	return s, nil
}

func identity(doc []byte) (i symbolon.Identity, err error) {
	f, err := split(doc)
	if err != nil {
		return i, err
	}
	d := decoder{dated: true}
	return d.identity(f)
}

// identities decodes a list of identities. The result shares no memory with doc.
func identities(doc []byte) ([]symbolon.Identity, error) {
	s, d := strictjson.NewSplitter(doc), decoder{}
	var out []symbolon.Identity
	err := s.Array(func() error {
		f, err := s.Object(d.room[:0])
		if err != nil {
			return err
		}
		d.room = f
		i, err := d.identity(fields{f})
		out = append(out, i)
		return err
	})
	if err == nil {
		err = s.End()
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// decoder keeps values that the next identity may share with the last one.
type decoder struct {
	room   strictjson.Members
	schema string
	dated  bool // also read ChangedAt; in a listing this would double the time
}

func (d *decoder) identity(f fields) (i symbolon.Identity, err error) {
	id, e1 := f.text("id")
	state, e2 := f.word("state", string(symbolon.Active))
	if state == "" && e2 == nil {
		state, e2 = f.text("state")
	}
	created, e3 := f.time("created_at")
	schema, e4 := f.word("schema_id", d.schema)
	external, e5 := f.optional("external_id")
	addresses, verified, e6 := d.addresses(f.Get("verifiable_addresses"))
	organization, e7 := f.optional("organization_id")
	if e1 != nil || e2 != nil || e3 != nil || e4 != nil || e5 != nil || e6 != nil || e7 != nil {
		return i, errors.Join(e1, e2, e3, e4, e5, e6, e7)
	}
	d.schema = schema
	i = symbolon.Identity{SchemaID: schema, State: symbolon.State(state), ExternalID: external, OrganizationID: organization, Addresses: addresses, CreatedAt: created}
	if d.dated {
		i.ChangedAt = f.newest(verified, "updated_at", "state_changed_at")
	}
	i.Traits, i.MetadataPublic, i.MetadataAdmin = copyValues(f.Get("traits"), f.Get("metadata_public"), f.Get("metadata_admin"))
	i.ID, err = symbolon.ParseIdentityID(id)
	return i, err
}

// copyValues copies three values out of the document, with one allocation.
func copyValues(a, b, c []byte) (x, y, z json.RawMessage) {
	all := make([]byte, 0, len(a)+len(b)+len(c))
	cut := func(v []byte) json.RawMessage {
		if v == nil {
			return nil
		}
		from := len(all)
		all = append(all, v...)
		return all[from:len(all):len(all)]
	}
	return cut(a), cut(b), cut(c)
}

// addresses decodes the addresses. If d is dated, it also returns when an address was last
// verified.
func (d *decoder) addresses(doc []byte) (out []symbolon.Address, last time.Time, err error) {
	if strictjson.IsNull(doc) {
		return nil, last, nil
	}
	s := strictjson.NewSplitter(doc)
	var room [16]strictjson.Member
	err = s.Array(func() error {
		members, err := s.Object(room[:0])
		if err != nil {
			return err
		}
		f := fields{members}
		value, e1 := f.text("value")
		via, e2 := f.word("via", "email")
		verified, e3 := f.boolean("verified")
		if e1 != nil || e2 != nil || e3 != nil {
			return errors.Join(e1, e2, e3)
		}
		if d.dated {
			last = f.newest(last, "verified_at")
		}
		out = append(out, symbolon.Address{Value: value, Via: via, Verified: verified})
		return nil
	})
	if err != nil {
		return nil, last, fmt.Errorf("verifiable_addresses: %w", err)
	}
	return out, last, nil
}

func session(doc []byte) (s Session, err error) {
	f, err := split(doc)
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
	if raw := f.Get("identity"); !strictjson.IsNull(raw) {
		i, err := identity(raw)
		if err != nil {
			return s, fmt.Errorf("its identity: %w", err)
		}
		s.Identity = &i
	}
	return s, nil
}

// fields are the members of an object in an answer.
type fields struct{ strictjson.Members }

func split(doc []byte) (fields, error) {
	members, err := strictjson.Split(doc)
	return fields{members}, err
}

// text returns a member that must be a string.
func (f fields) text(key string) (string, error) {
	if strictjson.IsNull(f.Get(key)) {
		return "", fmt.Errorf("%s is missing", key)
	}
	return f.optional(key)
}

// optional returns a member that must be a string, null or absent.
func (f fields) optional(key string) (string, error) {
	if strictjson.IsNull(f.Get(key)) {
		return "", nil
	}
	s, ok := strictjson.Text(f.Get(key))
	if !ok {
		return "", fmt.Errorf("%s is not a string", key)
	}
	return s, nil
}

// word does the same as the method optional. If the text equals likely, it allocates
// nothing.
func (f fields) word(key, likely string) (string, error) {
	if raw := f.Get(key); len(raw) == len(likely)+2 && raw[0] == '"' && string(raw[1:len(raw)-1]) == likely {
		return likely, nil
	}
	return f.optional(key)
}

func (f fields) boolean(key string) (bool, error) {
	switch string(f.Get(key)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s is not a boolean", key)
}

// newest returns the newest of t and the named times. A time that cannot be read is
// ignored, because all of them are hints.
func (f fields) newest(t time.Time, keys ...string) time.Time {
	for _, key := range keys {
		if strictjson.IsNull(f.Get(key)) {
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
