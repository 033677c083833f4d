package sqlstore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/condition"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/projection"
)

// Users describes the application's users table. The zero value is symbolon_users, which
// Symbolon's own migration makes; any other table belongs to the application and must
// exist.
type Users struct {
	// Table is the name of the table, or "schema.table". All names here are quoted, so on
	// Postgres they are case-sensitive. Defaults to symbolon_users.
	Table string

	// ID is the primary key: uuid, text, integer or bigint. Defaults to "id".
	ID string

	// Identity is the unique, nullable column that holds the Ory identity's ID. If NewID is
	// ByIdentity, it may be the primary key itself. Defaults to "ory_identity_id".
	Identity string

	// NewID is the source of new users' IDs. Defaults to ByMint. With ByApplication the
	// other fields stay empty, because the users are in a table or a database that Symbolon
	// does not write. Then Symbolon's own table holds their IDs and identities.
	NewID symbolon.NewID

	// Columns maps other columns to expressions of [projection.Parse]. A value that cannot
	// be written never prevents the link: the column is left out and a finding says so. If
	// Columns is nil, email, name and active of symbolon_users are filled, and no column of
	// any other table.
	Columns map[string]string

	// ReleaseColumns are emptied when a user's identity is gone and its row is kept or
	// deactivated. Then another person can sign up with the same unique value, such as an
	// e-mail address. An emptied column is null; a NOT NULL text becomes "gone-" and the
	// user's ID. The key and the identity column are not allowed.
	ReleaseColumns []string

	// AnonymiseColumns are emptied, in the same way, when a row is anonymised. Columns that
	// are filled from traits or a verified address need not be named: they are always
	// emptied. If AnonymiseColumns is empty, every column that is filled from the identity is
	// emptied.
	AnonymiseColumns []string

	// Deny maps codes to conditions on the columns of a row. While a row meets a condition,
	// its user is not handed out, and the caller gets a *symbolon.DenyError with ErrDenied and
	// the code:
	//
	//	Deny: map[string]string{"user_gone": "deleted_at is not null", "user_suspended": "suspended"}
	//
	// docs/deny.md has the grammar. A code has lower-case letters and underscores. If a row
	// meets several conditions, the code that comes first in the alphabet is the answer. A
	// test of a null column is not true, as in SQL, so a null does not deny anybody. A column
	// that is missing or cannot be read is ErrUnavailable for everybody, never left out.
	Deny map[string]string

	// Placeholder is for filled NOT NULL columns of text that are unique. If values move
	// between people, a row may have to give up its value before its new value is free. It
	// then gets this text. "{user}" in it is replaced by the user's ID, and is required. The
	// row keeps it only while Ory has no other value for the row, or the other value is not
	// free. If Placeholder is empty, such a row keeps its value, and a finding says so.
	Placeholder string

	// Email is the column of e-mail addresses. EmailVerified is the column that says that
	// the application has verified the address: by true, by an integer other than 0, or by
	// a time. Set both or neither. They are read only to adopt users by a verified address.
	// An index on lower(email), on Postgres on lower(email collate "C"), makes this quick.
	Email, EmailVerified string
}

// userMarker stands for the user's ID in Users.Placeholder.
const userMarker = "{user}"

const defaultTable = "symbolon_users"

func (u Users) table() string {
	return cmp.Or(u.Table, defaultTable)
}

func (u Users) id() string {
	return cmp.Or(u.ID, "id")
}

func (u Users) identity() string {
	return cmp.Or(u.Identity, "ory_identity_id")
}

func (u Users) newID() symbolon.NewID {
	return cmp.Or(u.NewID, symbolon.ByMint)
}

// defaultColumns are the columns of symbolon_users.
var defaultColumns = map[string]string{"email": "traits.email", "name": "traits.name", "active": "active"}

func (u Users) columns() map[string]string {
	if u.Columns == nil && u.table() == defaultTable {
		return defaultColumns
	}
	return u.Columns
}

// newIDLength is the length of the new IDs as text; 0: it is not known.
func (u Users) newIDLength() int {
	switch id := u.newID(); {
	case id == ByMint, id == ByIdentity:
		return lengthOfID
	case id.Template():
		return mint.TemplateLength(string(id))
	}
	return 0
}

// plainUUID reports whether a template makes UUIDs and nothing else.
func plainUUID(template symbolon.NewID) bool { return template == "{uuidv4}" || template == "{uuidv7}" }

// one reports whether the key and the identity are the same column.
func (u Users) one() bool { return u.id() == u.identity() }

// parts returns the schema, which may be empty, and the table.
func (u Users) parts() (p tableName) {
	p.schema, p.table, _ = strings.Cut(u.table(), ".")
	if p.table == "" {
		p.schema, p.table = "", p.schema
	}
	return p
}

type tableName struct{ schema, table string }

// sqliteSchema is the schema on SQLite.
func (n tableName) sqliteSchema() string { return cmp.Or(n.schema, "main") }

func (n tableName) String() string {
	if n.schema == "" {
		return quote(n.table)
	}
	return quote(n.schema) + "." + quote(n.table)
}

// quote quotes a name that validate accepted.
func quote(name string) string { return `"` + name + `"` }

// validate returns all errors in the description itself.
func (u Users) validate() []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("sqlstore: users: "+format, args...))
	}
	name := func(what, s string) {
		if !condition.IsName(s) {
			fault("%s %q is not a name that Symbolon takes: it must be %s", what, s, condition.NameRule)
		}
	}
	if schema, table, found := strings.Cut(u.table(), "."); found {
		name("schema", schema)
		name("table", table)
	} else {
		name("table", u.table())
	}
	name("id column", u.id())
	name("identity column", u.identity())
	switch u.newID() {
	case ByMint, ByDatabase, ByIdentity, ByProgram:
	case ByApplication:
		if u.Table+u.ID+u.Identity+u.Placeholder != "" || len(u.Columns)+len(u.ReleaseColumns)+len(u.AnonymiseColumns)+len(u.Deny) > 0 {
			fault("new_id %s cannot be combined with a table or its columns, because the application makes its users itself", u.NewID)
		}
	default:
		if err := mint.CheckTemplate(string(u.NewID)); err != nil {
			fault("new_id %q must be uuidv7, database, identity, create_url, program or a template: %w", u.NewID, err)
		}
	}
	if u.one() && u.newID() != ByIdentity {
		fault("column %s is both the key and the identity: that needs new_id identity", u.id())
	}
	if u.Email != "" || u.EmailVerified != "" {
		name("e-mail column", u.Email)
		name("column for verified e-mail addresses", u.EmailVerified)
	}
	if p := u.Placeholder; p != "" && (!strings.Contains(p, userMarker) || len(p) > 200 || strings.ContainsFunc(p, unicode.IsControl) || !utf8.ValidString(p)) {
		fault("placeholder %q must contain %s, so that each row has its own, and have at most 200 bytes and no control characters", clip(p), userMarker)
	}
	for column := range u.columns() {
		name("column", column)
		if column == u.id() || column == u.identity() {
			fault("column %s is filled by Symbolon itself and cannot be projected to", column)
		}
	}
	for _, column := range slices.Concat(u.ReleaseColumns, u.AnonymiseColumns) {
		name("column", column)
		if column == u.id() || column == u.identity() {
			fault("column %s is Symbolon's own and cannot be released or anonymised", column)
		}
	}
	for _, err := range u.checkDeny() {
		fault("%w", err)
	}
	_, bad := projection.ParseAll(u.columns())
	for _, err := range bad {
		fault("%w", err)
	}
	return faults
}
