package symbolon

import (
	"time"
)

// FindingKind names a difference between the two halves of a person.
type FindingKind string

const (
	// ForeignBackReference: metadata_public.id holds a value that Symbolon did not mint, or
	// a reserved ID that could not be used. The value stays, and the identity has another
	// user.
	ForeignBackReference FindingKind = "foreign_back_reference"

	// MetadataNotObject: metadata_public is a string, a number or an array.
	MetadataNotObject FindingKind = "metadata_not_object"

	// MissingBackReference: the user's ID could not be written at Ory, and the write was
	// given up. Only WriteRepair makes this finding. Nothing in Symbolon depends on the
	// value.
	MissingBackReference FindingKind = "missing_back_reference"

	// ClaimedByOther: the identity's claim or voucher names the user of another identity,
	// which Ory still has.
	ClaimedByOther FindingKind = "claimed_by_other"

	// RecreatedIdentity: the claim names the user of an identity that Ory no longer has.
	// The identity is on hold until an operator binds it.
	RecreatedIdentity FindingKind = "recreated_identity"

	// UnverifiedEmail: the identity has the e-mail address of an existing user, and one of
	// the two sides has not verified it. The identity is on hold until both have.
	UnverifiedEmail FindingKind = "unverified_email"

	// VoucherVoid: metadata_admin.symbolon is not a valid voucher, or its user cannot be
	// linked.
	VoucherVoid FindingKind = "voucher_void"

	// UserGone: the row of a linked user is missing and nobody called Forget.
	UserGone FindingKind = "user_gone"

	// ColumnDisagrees: the identity column of the application's row and the ledger
	// disagree.
	ColumnDisagrees FindingKind = "column_disagrees"

	// DuplicateEmail: another row has the e-mail address. The user was linked without it.
	DuplicateEmail FindingKind = "duplicate_email"

	// DuplicateValue: another row has a value that must be unique and is not an e-mail
	// address. The user was linked without it.
	DuplicateValue FindingKind = "duplicate_value"

	// ColumnRefused: a projected value could not be written. The user was linked without it.
	ColumnRefused FindingKind = "column_refused"

	// CannotCreate: the application, or its table, refused the user.
	CannotCreate FindingKind = "cannot_create"

	// IdentityReturned: Ory again has an identity that was proved gone.
	IdentityReturned FindingKind = "identity_returned"

	// RowKept: the identity is gone, but the user's row could not be changed as the policy
	// says. If the policy is anonymise or delete, the next reconcile run tries again.
	RowKept FindingKind = "row_kept"

	// Moved: the operator bound the identity's user to another identity.
	Moved FindingKind = "moved"

	// NotAdopted: the start of the project is not settled, so that identities older than the
	// ledger get no new users. It is one finding for the project, and names no identity.
	NotAdopted FindingKind = "not_adopted"

	// AdoptAmbiguous: the operator applied an adoption, and its plan could not say which
	// user the identity has. The identity is on hold until the operator decides.
	AdoptAmbiguous FindingKind = "adopt_ambiguous"
)

// Finding is a difference between the halves that an operator should see. An identity has
// at most one open finding of a kind.
type Finding struct {
	ID       int64 // given by the store; 0 until then
	Kind     FindingKind
	Identity IdentityID
	User     UserID // empty if no user is concerned
	Detail   string // one sentence: the difference, and how to settle it
	At       time.Time
}

// FindingsQuery selects open findings. They come in the order of identity and kind.
type FindingsQuery struct {
	Project string
	Kind    FindingKind // empty: all

	// After and AfterKind name the last finding of the previous page. If AfterKind is
	// empty, the page begins after the last finding of the identity in After.
	After     IdentityID
	AfterKind FindingKind

	Upto  IdentityID // the last identity of the page; empty: no bound
	Limit int        // at least 1
}
