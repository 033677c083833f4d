package fakeory

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// PutIdentity stores an identity in the JSON form of the admin API. It replaces an
// identity with the same ID. A test can choose values that no API of Ory accepts: the ID,
// the times, any state. Traits and metadata are not checked. Missing fields get Ory's
// defaults, and a missing ID is random.
func (o *Ory) PutIdentity(document any) (id string) {
	text, ok := document.(json.RawMessage)
	if !ok {
		text = encode(document)
	}
	t := now()
	i := identity{ID: newID(), SchemaID: "default", State: "active", CreatedAt: t, UpdatedAt: t}
	if err := json.Unmarshal(text, &i); err != nil {
		panic(fmt.Sprintf("fakeory: %s: %v", text, err)) // the test is wrong
	}
	i.ID = strings.ToLower(i.ID)
	i.MetadataPublic, i.MetadataAdmin = orNull(i.MetadataPublic), orNull(i.MetadataAdmin)
	var traits struct{ Email string }
	_ = json.Unmarshal(i.Traits, &traits) // traits may have any JSON type
	if i.Credentials == nil && traits.Email != "" {
		i.Credentials = map[string]credential{"password": {Type: "password", Identifiers: []string{strings.ToLower(traits.Email)}}}
	}
	stamp(&i, t)
	o.data.put(&i)
	return i.ID
}

func (d *data) put(i *identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.identities[i.ID]; ok {
		i.password, i.secondFactor = old.password, old.secondFactor
		d.release(old)
	} else {
		d.ids, d.sorted = append(d.ids, i.ID), false
	}
	d.identities[i.ID] = i
	d.claim(i)
}

// Session is a session for [Ory.PutSession].
type Session struct {
	ID         string // defaults to a random one
	IdentityID string
	Token      string // defaults to a random one
	Cookie     string // the value of a session cookie; empty: no cookie
	AAL        string // defaults to "aal1"
	Revoked    bool
	IssuedAt   time.Time // defaults to now
	ExpiresAt  time.Time // defaults to a day after IssuedAt
}

// PutSession stores a session of an identity and returns it with its defaults. It
// replaces a session with the same ID.
func (o *Ory) PutSession(s Session) Session {
	if s.ID == "" {
		s.ID = newID()
	}
	if s.Token == "" {
		s.Token = "ory_st_" + secret(32)
	}
	if s.AAL == "" {
		s.AAL = "aal1"
	}
	if s.IssuedAt.IsZero() {
		s.IssuedAt = time.Now().UTC()
	}
	if s.ExpiresAt.IsZero() {
		s.ExpiresAt = s.IssuedAt.Add(lifespan)
	}
	o.data.putSession(s)
	return s
}

func (d *data) putSession(s Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.identities[s.IdentityID] == nil {
		panic("fakeory: a session of an identity that does not exist: " + s.IdentityID) // the test is wrong
	}
	if old, ok := d.sessions[s.ID]; ok {
		delete(d.tokens, old.token)
	} else {
		d.sessionsOf[s.IdentityID] = append(d.sessionsOf[s.IdentityID], s.ID)
	}
	d.sessions[s.ID] = &session{ID: s.ID, Active: !s.Revoked, ExpiresAt: s.ExpiresAt, AuthenticatedAt: s.IssuedAt, IssuedAt: s.IssuedAt,
		AAL: s.AAL, Methods: []method{{"password", s.AAL, s.IssuedAt}}, Devices: []device{}, of: s.IdentityID, token: s.Token}
	d.tokens[s.Token] = s.ID
	if s.Cookie != "" {
		d.cookies[s.Cookie] = s.Token
	}
}
