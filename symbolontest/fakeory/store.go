package fakeory

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const nilUUID = "00000000-0000-0000-0000-000000000000"

// identity is a row of Ory's database, with credentials and addresses. The keys are in
// Ory's order.
type identity struct {
	ID             string                `json:"id"`
	ExternalID     string                `json:"external_id,omitempty"`
	Credentials    map[string]credential `json:"credentials,omitempty"`
	SchemaID       string                `json:"schema_id"`
	SchemaURL      string                `json:"schema_url"`
	State          string                `json:"state"`
	StateChangedAt *time.Time            `json:"state_changed_at,omitempty"`
	Traits         json.RawMessage       `json:"traits"`
	Verifiable     []address             `json:"verifiable_addresses,omitempty"`
	Recovery       []address             `json:"recovery_addresses,omitempty"`
	MetadataPublic json.RawMessage       `json:"metadata_public"`
	MetadataAdmin  json.RawMessage       `json:"metadata_admin,omitempty"`
	CreatedAt      time.Time             `json:"created_at"`
	UpdatedAt      time.Time             `json:"updated_at"`
	OrganizationID *string               `json:"organization_id"`

	password     string // in clear text; empty: nobody can sign in with it
	secondFactor bool
}

type credential struct {
	Type        string    `json:"type"`
	Identifiers []string  `json:"identifiers"`
	Version     int       `json:"version"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type address struct {
	ID         string     `json:"id"`
	Value      string     `json:"value"`
	Verified   *bool      `json:"verified,omitempty"`
	Via        string     `json:"via"`
	Status     string     `json:"status,omitempty"`
	VerifiedAt *time.Time `json:"verified_at,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
}

// data is the database. mu guards one access. A read followed by a write has no lock in
// between, as in Ory.
type data struct {
	mu         sync.Mutex
	identities map[string]*identity
	ids        []string // of all identities
	sorted     bool     // ids is sorted
	emails     map[string]string
	external   map[string]string
	sessions   map[string]*session
	tokens     map[string]string   // token to session ID
	cookies    map[string]string   // cookie to token, for sessions of PutSession
	sessionsOf map[string][]string // identity ID to session IDs
	flows      map[string]*flow
}

func newData() data {
	return data{identities: map[string]*identity{}, emails: map[string]string{}, external: map[string]string{},
		sessions: map[string]*session{}, tokens: map[string]string{}, cookies: map[string]string{}, sessionsOf: map[string][]string{},
		flows: map[string]*flow{}}
}

// errTaken means that another identity has the address or the external_id.
var errTaken = errors.New("taken")

var errGone = errors.New("the identity does not exist")

// get returns a copy of an identity.
func (d *data) get(id string) (identity, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.identities[strings.ToLower(id)]
	if !ok {
		return identity{}, false
	}
	return i.clone(), true
}

// insert stores a new identity under a new ID.
func (d *data) insert(i *identity) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.insertLocked(i)
}

func (d *data) insertLocked(i *identity) error {
	if !d.free(i) {
		return errTaken
	}
	t := now()
	i.ID, i.CreatedAt, i.UpdatedAt = newID(), t, t
	stamp(i, t)
	row := i.clone()
	d.identities[i.ID] = &row
	d.ids, d.sorted = append(d.ids, i.ID), false
	d.claim(&row)
	return nil
}

// stamp gives an ID and times to new addresses and credentials.
func stamp(i *identity, t time.Time) {
	for _, list := range [][]address{i.Verifiable, i.Recovery} {
		for n := range list {
			if a := &list[n]; a.ID == nilUUID {
				a.ID, a.CreatedAt, a.UpdatedAt = newID(), t, t
			}
		}
	}
	for name, c := range i.Credentials {
		if c.CreatedAt.IsZero() {
			c.CreatedAt, c.UpdatedAt = t, t
			i.Credentials[name] = c
		}
	}
}

// update replaces the whole row. It does not check whether the row changed since the
// caller read it.
func (d *data) update(i *identity) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, ok := d.identities[i.ID]
	if !ok {
		return errGone
	}
	if !d.free(i) {
		return errTaken
	}
	stamp(i, now())
	d.release(old)
	row := i.clone()
	d.identities[i.ID] = &row
	d.claim(&row)
	return nil
}

func (d *data) delete(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.identities[strings.ToLower(id)]
	if !ok {
		return false
	}
	d.drop(i)
	return true
}

func (d *data) drop(i *identity) {
	d.release(i)
	delete(d.identities, i.ID)
	d.order()
	if n, ok := slices.BinarySearch(d.ids, i.ID); ok {
		d.ids = slices.Delete(d.ids, n, n+1)
	}
	d.dropSessions(i.ID)
}

// order sorts ids.
func (d *data) order() {
	if !d.sorted {
		slices.Sort(d.ids)
		d.sorted = true
	}
}

func (d *data) free(i *identity) bool {
	for _, name := range i.identifiers() {
		if owner, taken := d.emails[name]; taken && owner != i.ID {
			return false
		}
	}
	owner, taken := d.external[i.ExternalID]
	return i.ExternalID == "" || !taken || owner == i.ID
}

func (d *data) claim(i *identity) {
	for _, name := range i.identifiers() {
		d.emails[name] = i.ID
	}
	if i.ExternalID != "" {
		d.external[i.ExternalID] = i.ID
	}
}

func (d *data) release(i *identity) {
	for _, name := range i.identifiers() {
		delete(d.emails, name)
	}
	delete(d.external, i.ExternalID)
}

func (i *identity) identifiers() []string { return i.Credentials["password"].Identifiers }

// clone copies everything that is changed in place.
func (i *identity) clone() identity {
	c := *i
	c.Verifiable, c.Recovery = slices.Clone(i.Verifiable), slices.Clone(i.Recovery)
	if i.Credentials != nil {
		c.Credentials = map[string]credential{}
		for name, v := range i.Credentials {
			c.Credentials[name] = v
		}
	}
	return c
}

// There are two views of an identity. The admin API shows metadata_admin. A person's own
// session and the hooks do not.

func (i identity) forAdmin(credentials bool) identity {
	if i.MetadataAdmin == nil {
		i.MetadataAdmin = json.RawMessage("null")
	}
	if !credentials {
		i.Credentials = nil
	}
	return i
}

func (i identity) forPeople() identity {
	i.MetadataAdmin, i.Credentials = nil, nil
	return i
}

// setTraits checks the traits against the schema. It sets the identifier and the
// addresses from them, as Ory does. An unchanged address keeps its row.
func (o *Ory) setTraits(i *identity, traits json.RawMessage) error {
	email, err := o.checkTraits(traits)
	if err != nil {
		return err
	}
	i.Traits = traits
	email = strings.ToLower(email)
	old := i.Credentials["password"]
	old.Type, old.Identifiers = "password", []string{email}
	i.Credentials = map[string]credential{"password": old}
	if len(i.Verifiable) != 1 || i.Verifiable[0].Value != email {
		no := false
		i.Verifiable = []address{{ID: nilUUID, Value: email, Verified: &no, Via: "email", Status: "pending"}}
	}
	if len(i.Recovery) != 1 || i.Recovery[0].Value != email {
		i.Recovery = []address{{ID: nilUUID, Value: email, Via: "email"}}
	}
	return nil
}

// keepVerified marks an address as verified if an import or a parse hook says so and the
// traits have the address. Other addresses are ignored.
func keepVerified(i *identity, given []address) {
	for _, a := range given {
		for n := range i.Verifiable {
			own := &i.Verifiable[n]
			if !strings.EqualFold(a.Value, own.Value) || a.Verified == nil || !*a.Verified {
				continue
			}
			t, yes := now(), true
			own.Verified, own.Status, own.VerifiedAt = &yes, "completed", &t
		}
	}
}

// checkTraits checks against the schema of symbolontest's Kratos: email, and an optional
// name.
func (o *Ory) checkTraits(traits json.RawMessage) (email string, err error) {
	var fields map[string]any
	if err := json.Unmarshal(traits, &fields); err != nil || fields == nil {
		return "", errors.New(`I[#/traits] S[#/properties/traits/type] expected object, but got ` + kindOf(traits))
	}
	const at = "S[#/properties/traits"
	var faults []string
	email, isText := fields["email"].(string)
	switch _, given := fields["email"]; {
	case !given:
		faults = append(faults, `  I[#/traits] `+at+`/required] missing properties: "email"`)
	case !isText || !looksLikeEmail(email):
		line := fmt.Sprintf("    I[#/traits/email] %s/properties/email/format] %q is not valid \"email\"", at, fields["email"])
		faults = append(faults, "  I[#/traits/email] "+at+"/properties/email] validation failed", line, line)
	}
	if name, given := fields["name"]; given {
		if _, ok := name.(string); !ok {
			faults = append(faults, `  I[#/traits/name] `+at+`/properties/name/type] expected string, but got `+fmt.Sprintf("%T", name))
		}
	}
	for key := range fields {
		if key != "email" && key != "name" && !slices.Contains(o.config.ExtraTraits, key) {
			faults = append(faults, fmt.Sprintf("  I[#/traits] %s/additionalProperties] additionalProperties %q not allowed", at, key))
		}
	}
	if len(faults) > 0 {
		return "", errors.New("I[#/traits] " + at + "] validation failed\n" + strings.Join(faults, "\n"))
	}
	return email, nil
}

func looksLikeEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(s, " <>\n")
}

func kindOf(doc json.RawMessage) string {
	switch doc = bytes.TrimSpace(doc); {
	case len(doc) == 0 || doc[0] == 'n':
		return "null"
	case doc[0] == '[':
		return "array"
	case doc[0] == '"':
		return "string"
	}
	return "number"
}

// isNull reports whether a JSON document is absent or null.
func isNull(doc json.RawMessage) bool {
	doc = bytes.TrimSpace(doc)
	return len(doc) == 0 || bytes.Equal(doc, []byte("null"))
}

// orNull returns nil for a JSON null.
func orNull(doc json.RawMessage) json.RawMessage {
	if isNull(doc) {
		return nil
	}
	return doc
}

// now is rounded to microseconds, because Ory stores them so.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func ptr[T any](v T) *T { return &v }

// newID returns a random UUID of version 4, as Ory does.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for n, r := range s {
		if dash := n == 8 || n == 13 || n == 18 || n == 23; dash != (r == '-') ||
			!dash && !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return false
		}
	}
	return true
}
