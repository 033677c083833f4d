package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
)

// person is both halves, the bond, its history and the findings, as the operator
// sees them: on the command line and over the admin API. It holds no traits and no
// secrets.
type person struct {
	Identity *identityHalf `json:"identity"` // null: no identity is known of the user
	User     *userHalf     `json:"user"`     // null: no user is known of the identity
	Link     *bond         `json:"link"`     // null: the ledger has no entry
	Findings []finding     `json:"findings"` // open ones
	History  []event       `json:"history"`  // oldest first, the newest 100
	Erasure  *erasure      `json:"erasure,omitempty"`
}

// identityHalf is Ory's half, as Ory holds it now.
type identityHalf struct {
	ID  symbolon.IdentityID `json:"id"`
	Ory oryAnswer           `json:"ory_says"`

	// The rest only where Ory says "exists".
	State         symbolon.State `json:"state,omitempty"`
	SchemaID      string         `json:"schema_id,omitempty"`
	CreatedAt     *time.Time     `json:"created_at,omitempty"`
	ExternalID    string         `json:"external_id,omitempty"`
	BackReference string         `json:"back_reference,omitempty"`
}

// oryAnswer is what Ory says of an identity.
type oryAnswer string

const (
	exists      oryAnswer = "exists"
	gone        oryAnswer = "gone"        // Kratos' own 404
	notAsked    oryAnswer = "not_asked"   // no admin URL is configured
	unavailable oryAnswer = "unavailable" // asked, and it is not known
)

// userHalf is the application's half.
type userHalf struct {
	ID       symbolon.UserID     `json:"id"`
	Row      bool                `json:"row"`         // the users table has a row for it
	Identity symbolon.IdentityID `json:"identity_id"` // what the row's identity column says; empty: null
}

type bond struct {
	Project       string               `json:"project"`
	Identity      symbolon.IdentityID  `json:"identity_id"`
	User          symbolon.UserID      `json:"user_id"`
	State         symbolon.LinkState   `json:"state"`
	Reason        symbolon.FindingKind `json:"reason,omitempty"`
	Way           symbolon.Source      `json:"way"`
	At            time.Time            `json:"at"`
	BackReference string               `json:"back_reference,omitempty"` // what Symbolon saw at or wrote to Ory
}

type finding struct {
	Kind     symbolon.FindingKind `json:"kind"`
	Identity symbolon.IdentityID  `json:"identity_id"`
	User     symbolon.UserID      `json:"user_id,omitempty"`
	Detail   string               `json:"detail"`
	At       time.Time            `json:"at"`
}

type event struct {
	ID       int64                `json:"id"`
	At       time.Time            `json:"at"`
	Kind     symbolon.EventKind   `json:"kind"`
	Identity symbolon.IdentityID  `json:"identity_id"`
	User     symbolon.UserID      `json:"user_id,omitempty"`
	Before   symbolon.UserID      `json:"before,omitempty"`
	Way      symbolon.Source      `json:"way,omitempty"`
	Finding  symbolon.FindingKind `json:"finding,omitempty"`
	Detail   string               `json:"detail,omitempty"`
}

// records is what the operator's commands ask. *link.Linker is one.
type records interface {
	Record(ctx context.Context, id string) (symbolon.Record, error)
}

// erased is who knows of erasures. *erase.Erasures does.
type erased interface {
	Of(ctx context.Context, identity symbolon.IdentityID, user symbolon.UserID) (symbolon.Erasure, error)
}

// lookup finds a person and asks Ory for its half.
func lookup(ctx context.Context, store records, erasures erased, ory symbolon.Ory, key, id string) (person, error) {
	if id == "" || len(id) > 255 || strings.ContainsRune(id, 0) || strings.ToValidUTF8(id, "") != id {
		return person{}, symbolon.ErrNotFound // no database can hold such a key
	}
	if canonical, err := symbolon.ParseIdentityID(id); err == nil && string(canonical) != id {
		id = string(canonical)
	}
	rec, err := store.Record(ctx, id)
	if err != nil {
		return person{}, err
	}
	p := describe(rec)
	if p.Identity != nil {
		p.Identity.ask(ctx, ory, key)
	}
	return p, p.findErasure(ctx, erasures)
}

func (p *person) findErasure(ctx context.Context, erasures erased) error {
	var identity symbolon.IdentityID
	var user symbolon.UserID
	if p.Identity != nil {
		identity = p.Identity.ID
	}
	if p.User != nil {
		user = p.User.ID
	}
	e, err := erasures.Of(ctx, identity, user)
	if errors.Is(err, symbolon.ErrNotFound) {
		return nil
	}
	if err == nil {
		known := erasureOf(e)
		p.Erasure = &known
	}
	return err
}

// describe puts a record into the words of this interface.
func describe(rec symbolon.Record) person {
	p := person{Findings: []finding{}, History: []event{}}
	if id := identityOf(rec); id != "" {
		p.Identity = &identityHalf{ID: id}
	}
	if id := userOf(rec); id != "" {
		p.User = &userHalf{ID: id}
	}
	if rec.Row != nil {
		p.User.Row, p.User.Identity = true, rec.Row.Identity
	}
	if rec.Link != nil {
		b := bondOf(*rec.Link)
		p.Link = &b
	}
	for _, f := range rec.Findings {
		p.Findings = append(p.Findings, finding{f.Kind, f.Identity, f.User, f.Detail, f.At.UTC()})
	}
	for _, e := range rec.Events {
		p.History = append(p.History, event{e.ID, e.At.UTC(), e.Kind, e.Identity, e.User, e.Before, e.Source, e.Finding, e.Detail})
	}
	return p
}

func bondOf(l symbolon.Link) bond {
	return bond{l.Project, l.Identity, l.User, l.State, l.Reason, l.Source, l.At.UTC(), l.BackReference}
}

func identityOf(rec symbolon.Record) symbolon.IdentityID {
	switch {
	case rec.Link != nil:
		return rec.Link.Identity
	case rec.Row != nil && rec.Row.Owner() != "":
		return rec.Row.Owner()
	}
	for _, e := range slices.Backward(rec.Events) {
		if e.Identity != "" {
			return e.Identity
		}
	}
	return ""
}

func userOf(rec symbolon.Record) symbolon.UserID {
	switch {
	case rec.Row != nil:
		return rec.Row.ID
	case rec.Link != nil:
		return rec.Link.User
	}
	for _, e := range slices.Backward(rec.Events) {
		if e.User != "" {
			return e.User
		}
	}
	return ""
}

// ask fills in what Ory holds. That Ory cannot be asked is part of the answer.
func (h *identityHalf) ask(ctx context.Context, ory symbolon.Ory, key string) {
	id, err := ory.Identity(ctx, h.ID)
	switch {
	case err == nil:
		created := id.CreatedAt.UTC()
		h.Ory, h.State, h.SchemaID, h.CreatedAt, h.ExternalID = exists, id.State, id.SchemaID, &created, id.ExternalID
		h.BackReference = backReferenceText(id.MetadataPublic, key)
	case errors.Is(err, symbolon.ErrNoAdmin):
		h.Ory = notAsked
	case errors.Is(err, symbolon.ErrNotFound):
		h.Ory = gone
	default:
		h.Ory = unavailable
	}
}

// backReferenceText is metadata_public.<key> as text, whatever somebody wrote there.
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

// hasUser reports whether id is a user's, now or before, and not the identity's.
func (p person) hasUser(id string) bool {
	if p.User != nil && string(p.User.ID) == id {
		return true
	}
	for _, e := range p.History {
		if string(e.User) == id || string(e.Before) == id {
			return true
		}
	}
	return false
}

func (p person) hasIdentity(id symbolon.IdentityID) bool {
	return p.Identity != nil && p.Identity.ID == id || p.Link != nil && p.Link.Identity == id
}
