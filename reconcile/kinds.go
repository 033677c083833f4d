package reconcile

import (
	"slices"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Kinds that only a run finds. Package symbolon has the others.
const (
	// UnlinkedIdentity: Ory has an identity, and the ledger has no entry for it.
	UnlinkedIdentity symbolon.FindingKind = "unlinked_identity"

	// StaleColumns: Ory's data differs from the data last written to the projected
	// columns of the user's row.
	StaleColumns symbolon.FindingKind = "stale_columns"

	// StateMismatch: the row's column for "active" differs from Ory, although Ory's data
	// has not changed. Something else wrote the column.
	StateMismatch symbolon.FindingKind = "state_mismatch"

	// OrphanUser: a linked identity was not in a complete and plausible listing. This does
	// not prove that it is gone; a repair asks Ory for it twice.
	OrphanUser symbolon.FindingKind = "orphan_user"
)

// Kinds returns all kinds that a run can find.
func Kinds() []symbolon.FindingKind {
	return []symbolon.FindingKind{UnlinkedIdentity, StaleColumns, StateMismatch, OrphanUser, symbolon.MissingBackReference,
		symbolon.DuplicateEmail, symbolon.DuplicateValue, symbolon.ColumnRefused, symbolon.CannotCreate, symbolon.UserGone, symbolon.ColumnDisagrees,
		symbolon.ForeignBackReference, symbolon.MetadataNotObject, symbolon.ClaimedByOther, symbolon.VoucherVoid, decide.InviteVoid,
		symbolon.RecreatedIdentity, symbolon.IdentityReturned, symbolon.RowKept, symbolon.Moved, symbolon.UnverifiedEmail,
		symbolon.AdoptAmbiguous, decide.ReturnedPerson, symbolon.NotAdopted}
}

// Repairs reports whether a run with Repair acts on a kind. Such a run makes missing
// links, writes columns and back-references, tries refused rows again, and ends links to
// identities that it proves gone. [symbolon.RecreatedIdentity] needs Options.Rebind as
// well.
func Repairs(k symbolon.FindingKind) bool {
	return duringWalk(k) || byProof(k) || k == symbolon.RecreatedIdentity
}

// duringWalk reports whether a kind is repaired in phase Repairing.
func duringWalk(k symbolon.FindingKind) bool { return byLink(k) || k == symbolon.MissingBackReference }

// byLink reports whether one call of Linker.Link repairs a kind.
func byLink(k symbolon.FindingKind) bool {
	return needsTicket(k) || k == symbolon.CannotCreate || k == symbolon.UnverifiedEmail
}

// needsTicket reports whether the repair of a kind needs a reading with a ticket. The
// repair of an identity on hold needs no ticket. Taking a ticket writes to the database,
// and a run that changes nothing must not write.
func needsTicket(k symbolon.FindingKind) bool {
	return onlyFoundByRuns(k) || holdsElsewhere(k)
}

// onlyFoundByRuns reports whether a run opens and closes the findings of a kind. The store
// opens and closes the others.
func onlyFoundByRuns(k symbolon.FindingKind) bool {
	return k == UnlinkedIdentity || k == StaleColumns || k == StateMismatch
}

// holdsElsewhere reports whether a kind says that another row has a value.
func holdsElsewhere(k symbolon.FindingKind) bool {
	return k == symbolon.DuplicateEmail || k == symbolon.DuplicateValue
}

// byProof reports whether the repair of a kind needs a proof that Ory no longer has the
// identity.
func byProof(k symbolon.FindingKind) bool { return k == OrphanUser || k == symbolon.RowKept }

// wants reports whether the run covers a kind.
func (o Options) wants(k symbolon.FindingKind) bool {
	return len(o.Only) == 0 || slices.Contains(o.Only, k)
}

// anyFound reports whether a difference was found whose kind satisfies match.
func anyFound(found map[symbolon.FindingKind]int, match func(symbolon.FindingKind) bool) bool {
	for kind, n := range found {
		if n > 0 && match(kind) {
			return true
		}
	}
	return false
}
