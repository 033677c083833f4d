package symbolon

import (
	"time"
)

// UnverifiedEmail: the identity has the e-mail address of an existing user, and one
// of the two sides has not verified it. Held until both have.
const UnverifiedEmail FindingKind = "unverified_email"

// FindingKind names a difference between the two halves of a person.
type FindingKind string

const (
	// ForeignBackReference: metadata_public.id holds something that Symbolon did
	// not mint. The value stays; the identity has a user of its own.
	ForeignBackReference FindingKind = "foreign_back_reference"

	// MetadataNotObject: metadata_public is a string, a number or an array.
	MetadataNotObject FindingKind = "metadata_not_object"

	// MissingBackReference: the user's ID is not at Ory, and the write of it was given
	// up. A finding under WriteRepair only; nothing of ours depends on the value.
	MissingBackReference FindingKind = "missing_back_reference"

	// ClaimedByOther: the identity's claim or voucher names the user of another
	// living identity.
	ClaimedByOther FindingKind = "claimed_by_other"

	// RecreatedIdentity: the claim names the user of an identity that Ory no
	// longer has. Held until an operator binds it.
	RecreatedIdentity FindingKind = "recreated_identity"

	// VoucherVoid: metadata_admin.symbolon is not a voucher for a user that can
	// be bound.
	VoucherVoid FindingKind = "voucher_void"

	// UserGone: the row of a linked user is missing and nobody called Forget.
	UserGone FindingKind = "user_gone"

	// ColumnDisagrees: the identity column of the application's row says something
	// else than the ledger.
	ColumnDisagrees FindingKind = "column_disagrees"

	// DuplicateEmail: another row has the e-mail address; linked without it.
	DuplicateEmail FindingKind = "duplicate_email"

	// ColumnRefused: a projected value could not be written; linked without it.
	ColumnRefused FindingKind = "column_refused"

	// CannotCreate: the application's table refused the row itself.
	CannotCreate FindingKind = "cannot_create"

	// IdentityReturned: Ory has an identity again that was proved gone, or erased.
	IdentityReturned FindingKind = "identity_returned"

	// RowKept: the row of a user whose identity is gone could not follow the policy.
	// Under anonymise and delete the next reconcile tries again.
	RowKept FindingKind = "row_kept"

	// Moved: the operator bound the identity's user to another identity.
	Moved FindingKind = "moved"
)

// Finding is a difference between the halves that an operator should see. There
// is at most one open finding of a kind for an identity.
type Finding struct {
	ID       int64 // of the store's; 0 before it is recorded
	Kind     FindingKind
	Identity IdentityID
	User     UserID // empty when no user is concerned
	Detail   string // one sentence: what is so, and what mends it
	At       time.Time
}

// FindingsQuery says which open findings are meant. They come in the order of
// identity and kind.
type FindingsQuery struct {
	Project string
	Kind    FindingKind // empty: all

	// After and AfterKind are the last finding of the page before; with AfterKind
	// empty everything of the identity After is behind it.
	After     IdentityID
	AfterKind FindingKind

	Upto  IdentityID // the last identity; empty: to the end
	Limit int        // at least 1
}
