package system

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

// Person is the JSON of both halves, their link, its history and the findings, on the
// command line and in the admin API. It contains no traits and no secrets.
type Person struct {
	Identity *IdentityHalf `json:"identity"` // null if the user has no known identity
	User     *UserHalf     `json:"user"`     // null if the identity has no known user
	Link     *Bond         `json:"link"`     // null if the ledger has no entry
	Findings []Finding     `json:"findings"` // open ones
	History  []Event       `json:"history"`  // oldest first, the newest 100
	Erasure  *Erasure      `json:"erasure,omitempty"`

	Further    []*Bond             `json:"further_identities,omitempty"` // also those that have ended
	MergedInto symbolon.UserID     `json:"merged_into,omitempty"`        // the user ended, because it was merged into this one
	MergedBy   symbolon.IdentityID `json:"merged_identity_id,omitempty"` // the identity that it had
}

// IdentityHalf is the identity, as it is at Ory now.
type IdentityHalf struct {
	ID  symbolon.IdentityID `json:"id"`
	Ory oryAnswer           `json:"ory_says"`

	// The rest is set only if Ory is Exists.
	State         symbolon.State `json:"state,omitempty"`
	SchemaID      string         `json:"schema_id,omitempty"`
	CreatedAt     *time.Time     `json:"created_at,omitempty"`
	ExternalID    string         `json:"external_id,omitempty"`
	BackReference string         `json:"back_reference,omitempty"`
	Reserved      bool           `json:"reserved,omitempty"` // the back-reference is a reserved ID, and no user has it yet
}

// oryAnswer is the answer of Ory to a request for an identity.
type oryAnswer string

const (
	Exists      oryAnswer = "exists"
	Gone        oryAnswer = "gone"        // Kratos' own 404
	NotAsked    oryAnswer = "not_asked"   // no admin URL is configured
	unavailable oryAnswer = "unavailable" // no answer, or an unknown one
)

// UserHalf is the user.
type UserHalf struct {
	ID       symbolon.UserID     `json:"id"`
	Row      bool                `json:"row"`                // whether the users table has a row
	Identity symbolon.IdentityID `json:"identity_id"`        // the value of the row's identity column; empty for null
	Denied   string              `json:"denied,omitempty"`   // the code of the condition of users.deny that the row meets
	Unjudged string              `json:"unjudged,omitempty"` // the column whose value no condition can judge
}

// Bond is the JSON of an entry of the ledger.
type Bond struct {
	Project       string               `json:"project"`
	Identity      symbolon.IdentityID  `json:"identity_id"`
	User          symbolon.UserID      `json:"user_id"`
	State         symbolon.LinkState   `json:"state"`
	Reason        symbolon.FindingKind `json:"reason,omitempty"`
	Source        symbolon.Source      `json:"source"`
	At            time.Time            `json:"at"`
	BackReference string               `json:"back_reference,omitempty"` // as Symbolon last read or wrote it at Ory
}

// Finding is the JSON of an open finding.
type Finding struct {
	Kind     symbolon.FindingKind `json:"kind"`
	Identity symbolon.IdentityID  `json:"identity_id"`
	User     symbolon.UserID      `json:"user_id,omitempty"`
	Detail   string               `json:"detail"`
	At       time.Time            `json:"at"`
}

// Event is one line of the history.
type Event struct {
	ID       int64                `json:"id"`
	At       time.Time            `json:"at"`
	Kind     symbolon.EventKind   `json:"kind"`
	Identity symbolon.IdentityID  `json:"identity_id"`
	User     symbolon.UserID      `json:"user_id,omitempty"`
	Before   symbolon.UserID      `json:"before,omitempty"`
	Source   symbolon.Source      `json:"source,omitempty"`
	Finding  symbolon.FindingKind `json:"finding,omitempty"`
	Detail   string               `json:"detail,omitempty"`
}

// Lookup reads a person, and the identity at Ory.
func Lookup(ctx context.Context, linker *link.Linker, erasures *erase.Erasures, key, id string) (Person, error) {
	rec, err := Record(ctx, linker, id)
	if err != nil {
		return Person{}, err
	}
	identity, user := halves(rec)
	p := describe(rec, identity, user)
	if p.Identity != nil {
		if err := p.Identity.ask(ctx, linker, key); err != nil {
			return p, err
		}
	}
	e, err := erasures.Of(ctx, identity, user)
	switch {
	case err == nil:
		p.Erasure = ErasureOf(e)
	case errors.Is(err, symbolon.ErrNotFound):
		err = nil
	}
	return p, err
}

// Record reads all that the database knows of a person, by an ID that a stranger may have
// written. ErrNotFound: neither an identity nor a user with this ID is known.
func Record(ctx context.Context, linker *link.Linker, id string) (symbolon.Record, error) {
	if id == "" || len(id) > 255 || strings.ContainsRune(id, 0) || strings.ToValidUTF8(id, "") != id {
		return symbolon.Record{}, symbolon.ErrNotFound // no database can hold such a key
	}
	if canonical, err := symbolon.ParseIdentityID(id); err == nil {
		id = string(canonical)
	}
	return linker.Record(ctx, id)
}

// PersonOf converts a record. Nothing is known of the identity at Ory.
func PersonOf(rec symbolon.Record) Person {
	identity, user := halves(rec)
	return describe(rec, identity, user)
}

// describe converts a record.
func describe(rec symbolon.Record, identity symbolon.IdentityID, user symbolon.UserID) Person {
	p := Person{Findings: []Finding{}, History: []Event{}}
	if identity != "" {
		p.Identity = &IdentityHalf{ID: identity}
	}
	if user != "" {
		p.User = &UserHalf{ID: user}
	}
	if rec.Row != nil {
		p.User.Row, p.User.Identity, p.User.Denied, p.User.Unjudged = true, rec.Row.Identity, rec.Row.Denied, rec.Row.Unjudged
	}
	if rec.Link != nil {
		p.Link = BondOf(*rec.Link)
	}
	for _, f := range rec.Also {
		p.Further = append(p.Further, BondOf(f))
	}
	p.MergedInto, p.MergedBy = rec.MergedInto, rec.MergedBy
	for _, f := range rec.Findings {
		p.Findings = append(p.Findings, FindingOf(f))
	}
	for _, e := range rec.Events {
		p.History = append(p.History, Event{e.ID, e.At.UTC(), e.Kind, e.Identity, e.User, e.Before, e.Source, e.Finding, e.Detail})
	}
	return p
}

// FindingOf converts a finding.
func FindingOf(f symbolon.Finding) Finding {
	return Finding{f.Kind, f.Identity, f.User, f.Detail, f.At.UTC()}
}

// BondOf converts an entry of the ledger.
func BondOf(l symbolon.Link) *Bond {
	return &Bond{l.Project, l.Identity, l.User, l.State, l.Reason, l.Source, l.At.UTC(), l.BackReference}
}

// halves are the IDs of the person: those of the ledger and of the row, or else the newest of
// the history.
func halves(rec symbolon.Record) (identity symbolon.IdentityID, user symbolon.UserID) {
	for _, e := range rec.Events {
		identity, user = cmp.Or(e.Identity, identity), cmp.Or(e.User, user)
	}
	if rec.Row != nil {
		identity = cmp.Or(rec.Row.Owner(), identity)
	}
	if rec.Link != nil {
		identity, user = rec.Link.Identity, rec.Link.User
	}
	if rec.Row != nil {
		user = rec.Row.ID
	}
	return identity, user
}

// ask reads the identity at Ory. An outage of Ory is part of the result.
func (h *IdentityHalf) ask(ctx context.Context, linker *link.Linker, key string) (unread error) {
	id, err := linker.Ory.Identity(ctx, h.ID)
	switch {
	case err == nil:
		created := id.CreatedAt.UTC()
		h.Ory, h.State, h.SchemaID, h.CreatedAt, h.ExternalID = Exists, id.State, id.SchemaID, &created, id.ExternalID
		h.BackReference = backReferenceText(id.MetadataPublic, key)
		h.Reserved, unread = unusedReservation(ctx, linker, h.BackReference, backReferenceText(id.MetadataPublic, mint.ReservedKey(key)))
	case errors.Is(err, symbolon.ErrNoAdmin):
		h.Ory = NotAsked
	case errors.Is(err, symbolon.ErrNotFound):
		h.Ory = Gone
	default:
		h.Ory = unavailable
	}
	return unread
}

// unusedReservation reports whether the reserve hook made an ID, and no user has or had it.
func unusedReservation(ctx context.Context, linker *link.Linker, id, proof string) (bool, error) {
	minter := mint.NewMinter(cmp.Or(linker.Project, symbolon.DefaultProject), linker.Secrets...)
	if user := symbolon.UserID(id); !minter.Minted(user) && !minter.Reserved(user, proof) {
		return false, nil
	}
	_, err := linker.Record(ctx, id)
	if errors.Is(err, symbolon.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// backReferenceText is metadata_public.<key> as text, whatever its type is.
func backReferenceText(metadata json.RawMessage, key string) string {
	var object map[string]json.RawMessage
	if json.Unmarshal(metadata, &object) != nil {
		return ""
	}
	raw := object[key]
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return cli.Clip(text, 255)
	}
	return cli.Clip(string(raw), 255)
}

// HasUser reports whether id is the ID of the person's user, now or before.
func (p Person) HasUser(id string) bool {
	return p.User != nil && string(p.User.ID) == id ||
		slices.ContainsFunc(p.History, func(e Event) bool { return string(e.User) == id || string(e.Before) == id })
}

// HasIdentity reports whether id is the ID of the identity.
func (p Person) HasIdentity(id symbolon.IdentityID) bool {
	return p.Identity != nil && p.Identity.ID == id || p.Link != nil && p.Link.Identity == id
}
