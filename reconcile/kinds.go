package reconcile

import (
	"slices"

	"github.com/symbolon-id/symbolon"
)

// Kinds that only a comparison of everybody finds. The others are package symbolon's.
const (
	// UnlinkedIdentity: Ory has an identity that the ledger has never heard of.
	UnlinkedIdentity symbolon.FindingKind = "unlinked_identity"

	// StaleColumns: Ory says something else than what was last written to the
	// projected columns of the user's row.
	StaleColumns symbolon.FindingKind = "stale_columns"

	// StateMismatch: the row's column that is filled from "active" says something else
	// than Ory, though nothing has changed there: somebody else has written it.
	StateMismatch symbolon.FindingKind = "state_mismatch"

	// OrphanUser: a linked identity was not in a whole and plausible listing. That
	// proves nothing: a repair asks Ory for it, twice.
	OrphanUser symbolon.FindingKind = "orphan_user"
)

// Kinds are all that a run can find.
func Kinds() []symbolon.FindingKind {
	return []symbolon.FindingKind{UnlinkedIdentity, StaleColumns, StateMismatch, OrphanUser, symbolon.MissingBackReference,
		symbolon.DuplicateEmail, symbolon.ColumnRefused, symbolon.CannotCreate, symbolon.UserGone, symbolon.ColumnDisagrees,
		symbolon.ForeignBackReference, symbolon.MetadataNotObject, symbolon.ClaimedByOther, symbolon.VoucherVoid,
		symbolon.RecreatedIdentity, symbolon.IdentityReturned, symbolon.RowKept, symbolon.Moved, symbolon.UnverifiedEmail}
}

// Mends reports whether a repair does anything about a kind: it makes missing links,
// writes columns and back-references, tries again what a table refused, and settles by proof
// who is gone.
// [symbolon.RecreatedIdentity] needs Options.Rebind as well.
func Mends(k symbolon.FindingKind) bool {
	return byWalk(k) || byProof(k) || k == symbolon.RecreatedIdentity
}

// byWalk says that it is mended where it is met, while everybody is listed again.
func byWalk(k symbolon.FindingKind) bool { return byLink(k) || k == symbolon.MissingBackReference }

// byLink says that one call of Linker.Link mends a kind.
func byLink(k symbolon.FindingKind) bool {
	return numbered(k) || k == symbolon.CannotCreate || k == symbolon.UnverifiedEmail
}

// numbered says that it takes a reading with a ticket. Identities on hold are only
// asked after: a ticket for them would be a write in an unchanged world.
func numbered(k symbolon.FindingKind) bool {
	return k == UnlinkedIdentity || k == StaleColumns || k == StateMismatch
}

// byProof says that it takes the proof that Ory no longer has the identity.
func byProof(k symbolon.FindingKind) bool { return k == OrphanUser || k == symbolon.RowKept }

// wants reports whether a kind was asked for.
func (o Options) wants(k symbolon.FindingKind) bool {
	return len(o.Only) == 0 || slices.Contains(o.Only, k)
}

// anyFound reports whether differences of such kinds were found.
func anyFound(found map[symbolon.FindingKind]int, such func(symbolon.FindingKind) bool) bool {
	for kind, n := range found {
		if n > 0 && such(kind) {
			return true
		}
	}
	return false
}
