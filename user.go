package symbolon

import (
	"fmt"
	"strconv"
	"strings"
)

// UserID is the primary key of one of the application's users, as text. The application
// chooses its form; see [UserID.Int64] and [UserID.UUID].
type UserID string

// Int64 returns the ID of a user in a table with an integer or bigint key. A form other
// than the canonical decimal one, such as "042" or "+42", is an error.
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

// User is the application's half of a person.
type User struct {
	ID       UserID
	Identity IdentityID
}

// Row is a row of the application's users table.
type Row struct {
	ID       UserID
	Identity IdentityID // in its identity column; empty: the column is null
	Linked   IdentityID // the identity that the ledger links to the user; empty: none

	// Denied is the code of the condition by which the application denies the user; empty:
	// none. A denied row exists like any other. It is not set in the rows of an [Entry] and
	// of an adoption.
	Denied string

	// Unjudged is the column whose value no condition can judge, so that the person is neither
	// denied nor let in; empty: none. It is set only in a [Record] and in [Claimed].
	Unjudged string
}

// Owner is the identity that has this user. If the row's identity column is null, the
// ledger is used. Owner returns "" if neither names an identity.
func (r *Row) Owner() IdentityID {
	if r.Identity != "" {
		return r.Identity
	}
	return r.Linked
}

// UserRow is a row of the users table, with the data that an adoption needs.
type UserRow struct {
	Row
	Retired bool   // its ID was retired and is never linked again
	Column  string // the value of the column that the caller named
	Email   string // as stored
	Checked bool   // the application has verified the address
}

// Match is a row of the users table that has one of an identity's e-mail addresses.
type Match struct {
	Row
	Retired  bool   // its ID was retired and is never linked again
	Email    string // as [NormalEmail] returns it
	Verified bool   // the application has verified the address
}

// RowPolicy says what happens to a user's row when its identity is gone for good.
type RowPolicy string

const (
	// KeepRow empties the columns to be released and leaves the rest of the row as it is.
	KeepRow RowPolicy = "keep"

	// DeactivateRow sets the column that is filled from "active" to false and empties the
	// columns to be released. It is the default.
	DeactivateRow RowPolicy = "deactivate"

	// AnonymiseRow empties the columns that hold personal data, and the identity column.
	// The row stays for the tables that refer to it. Its ID is retired.
	AnonymiseRow RowPolicy = "anonymise"

	// DeleteRow deletes the row. Its ID is retired.
	DeleteRow RowPolicy = "delete"
)

// Ends reports whether the policy ends the user: its data is removed and its ID is retired.
func (p RowPolicy) Ends() bool { return p == AnonymiseRow || p == DeleteRow }

// NewID says where the IDs of new users come from: one of the constants, or a template such as
// "usr_{ulid}".
type NewID string

const (
	ByMint     NewID = "uuidv7"   // Symbolon mints a UUIDv7; uuid and text keys only. The default
	ByDatabase NewID = "database" // the table's own default: a serial, gen_random_uuid(), …
	ByIdentity NewID = "identity" // the user's ID is the identity's ID; uuid and text keys only

	// ByProgram: link.Linker.MakeID, a function of the program, makes the IDs.
	ByProgram NewID = "program"

	// ByApplication: the application makes its users itself, when [Creator] asks it to.
	// The store then keeps only the ID and the identity of each user.
	ByApplication NewID = "create_url"
)

// Template reports whether the source is a template, such as "usr_{ulid}", with which Symbolon
// makes the IDs. mint.CheckTemplate has the rules.
func (n NewID) Template() bool { return strings.Contains(string(n), "{") }

// Proved reports whether IDs of this source need a proof beside them, if they are reserved
// before their users exist, because the IDs cannot prove anything by themselves.
func (n NewID) Proved() bool { return n == ByDatabase || n == ByProgram || n.Template() }
