// Package symbolon keeps the two halves of a person matched: the identity that
// Ory keeps (credentials, sessions, traits) and the user that the application
// keeps (everything else). It answers one question, "which of my users is this
// request?", and makes sure that the answer exists, is the only one, and never
// changes by accident.
//
// Most programs need three values and one middleware:
//
//	store  := &sqlstore.Store{DB: db, Dialect: sqlstore.Postgres, Users: sqlstore.Users{Table: "accounts"}}
//	linker := &symbolon.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: store}
//	auth   := &session.Verifier{Linker: linker}
//	mux.Handle("/notes", auth.Require(notes)) // inside: u, _ := symbolon.UserFrom(r.Context())
//
// Every way in (a request, a hook, the operator's word) ends in [Linker.Link]:
// one transaction, idempotent, safe to race. What it does is decided by one pure
// function (decide.go) over what was seen at Ory ([Seen]) and what is held here
// ([Held]); a [Store] carries the decision out.
//
// Nothing here ever authorises by metadata_public.id: that value is a
// convenience for readers of the identity, and anybody with Ory's admin API can
// write it. The link in the store is what counts.
//
// This package imports the standard library only.
package symbolon

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultProject is the Ory project of an installation that has one only.
const DefaultProject = "default"

// IdentityID is the ID that Ory gave an identity: a UUID in its canonical
// lower-case form, never the nil UUID. Make one with [ParseIdentityID].
type IdentityID string

// UserID is the primary key of one of the application's users as text. What it
// looks like is the application's choice; see [UserID.Int64] and [UserID.UUID].
type UserID string

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

// Int64 returns the ID of a user in a table with an integer or bigint key.
// Only the canonical decimal form counts: "042" and "+42" are errors.
func (id UserID) Int64() (int64, error) {
	n, err := strconv.ParseInt(string(id), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("user ID %q is not an integer", string(id))
	}
	if strconv.FormatInt(n, 10) != string(id) {
		return 0, fmt.Errorf("user ID %q is not in canonical decimal form", string(id))
	}
	return n, nil
}

// UUID returns the ID of a user in a table with a uuid key.
func (id UserID) UUID() ([16]byte, error) {
	u, err := parseUUID(string(id))
	if err != nil {
		return u, fmt.Errorf("user ID: %w", err)
	}
	return u, nil
}

// UserIDFromUUID returns the ID of a user in a table with a uuid key, in canonical form.
func UserIDFromUUID(u [16]byte) UserID { return UserID(formatUUID(u)) }

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

// User is the application's half of a person.
type User struct {
	ID       UserID
	Identity IdentityID
}

// Session is what Ory said of the session that a request carried.
type Session struct {
	ID              string
	AAL             string // "aal1", "aal2": authenticator assurance level
	AuthenticatedAt time.Time
	ExpiresAt       time.Time
}

// Principal is the answer to "who is this request?": the user, and the session
// that proves it. Values are shared between requests: never change one.
type Principal struct {
	User    User
	Session Session
	Email   string // the first verified address, or ""

	// Tokenised says that a JWT of Ory's proves it, which nobody asked Ory about: a
	// revocation at Ory counts when it expires. Of Session it has what the JWT's claims
	// say; AAL, AuthenticatedAt and Email may be empty.
	Tokenised bool

	// Loaded holds the rows of session.Load, which alone reads it.
	Loaded any `json:"-"`
}

// Way says how an identity came to be looked at. It is kept in the ledger and in
// every event.
type Way string

const (
	ByRequest   Way = "request"   // a request came with a session of the identity
	ByLinkHook  Way = "link"      // Ory's hook after it stored an identity
	BySyncHook  Way = "sync"      // Ory's hook after settings, verification, recovery
	ByOperator  Way = "operator"  // the command line or the admin API
	ByReconcile Way = "reconcile" // a comparison of all identities with the ledger
)

// Ticket orders readings of Ory: whatever commits last, a reading with a lower
// ticket never overwrites one with a higher. Zero means that none was taken.
type Ticket int64

// Seen is one reading of an identity at Ory.
type Seen struct {
	Identity Identity

	// Ticket was taken from the store before the read began. With zero the
	// reading may make a link but never updates the user's columns.
	Ticket Ticket

	// Way is how we came to look.
	Way Way

	// Admin says that the identity was read over the admin API, so that an
	// absent metadata_admin is really absent.
	Admin bool

	// Rewrite writes the projected columns even where the ledger says that they hold
	// what was read: somebody else has written them since.
	Rewrite bool
}

// LinkState is the state of an identity's entry in the ledger.
type LinkState string

const (
	Linked    LinkState = "linked"    // identity and user are bound
	OnHold    LinkState = "held"      // no user until an operator settles it; Reason says why
	Forgotten LinkState = "forgotten" // the application deleted its user
	Gone      LinkState = "gone"      // Ory no longer has the identity: that was proved
	Erased    LinkState = "erased"    // both halves were erased, by the operator's word
)

// Link is the bond of one identity and one user: an entry of the ledger.
type Link struct {
	Project       string
	Identity      IdentityID
	User          UserID // empty while held without ever having been linked
	State         LinkState
	Reason        FindingKind // why it is held
	Way           Way         // how it was made
	At            time.Time   // when it was made
	Ticket        Ticket      // of the newest reading written to the user's columns
	BackReference string      // the value that Symbolon saw at or wrote to Ory for this identity
}

// uuidPairs are where the 16 pairs of digits stand in a UUID.
var uuidPairs = [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

func parseUUID(s string) (u [16]byte, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, fmt.Errorf("%q is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", clip(s))
	}
	for n, at := range uuidPairs {
		hi, ok1 := unhex(s[at])
		lo, ok2 := unhex(s[at+1])
		if !ok1 || !ok2 {
			return u, fmt.Errorf("%q is not a UUID: only hexadecimal digits are allowed", clip(s))
		}
		u[n] = hi<<4 | lo
	}
	return u, nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func formatUUID(u [16]byte) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	b.Grow(36)
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b.WriteByte('-')
		}
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// clip keeps a stranger's bytes short in an error message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
