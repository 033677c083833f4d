package reconcile

import (
	"bytes"
	"encoding/json"
	"fmt"
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

	// ColumnsLeftOut: the row refused some of what Ory says: a taken e-mail address,
	// a text that is too long. The ledger's open finding says which.
	ColumnsLeftOut symbolon.FindingKind = "columns_left_out"

	// IdentityMissing: a linked identity was not in a whole and plausible listing.
	// That proves nothing yet, and nothing is done about it.
	IdentityMissing symbolon.FindingKind = "identity_missing"
)

// Kinds are all that a run can find.
func Kinds() []symbolon.FindingKind {
	return []symbolon.FindingKind{UnlinkedIdentity, StaleColumns, ColumnsLeftOut, IdentityMissing,
		symbolon.UserGone, symbolon.ColumnDisagrees, symbolon.ForeignBackReference, symbolon.MetadataNotObject,
		symbolon.ClaimedByOther, symbolon.RecreatedIdentity, symbolon.VoucherVoid, symbolon.CannotCreate, symbolon.Moved}
}

// Mends reports whether a repair does anything about a kind: it makes missing links,
// writes stale columns, and tries the refused ones again that may be possible by now.
func Mends(k symbolon.FindingKind) bool {
	switch k {
	case UnlinkedIdentity, StaleColumns, symbolon.CannotCreate, symbolon.RecreatedIdentity:
		return true
	}
	return false
}

// numbered says that a difference is mended by a reading with a ticket. Identities on
// hold are only asked after: a ticket for them would be a write in an unchanged world.
func numbered(k symbolon.FindingKind) bool { return k == UnlinkedIdentity || k == StaleColumns }

// anyFound reports whether differences of such kinds were found.
func anyFound(r Report, such func(symbolon.FindingKind) bool) bool {
	for kind := range r.Found {
		if such(kind) {
			return true
		}
	}
	return false
}

// judgement is what a comparison of one identity says.
type judgement struct {
	findings        []Finding
	noBackReference bool
}

// diff compares an identity as it was read at Ory with what is held of it. e is nil
// where the ledger has no entry; digest is the ledger's of the identity, and key the one
// below metadata_public that holds the back-reference. It is pure.
func diff(id symbolon.Identity, e *symbolon.Entry, digest, key string) (j judgement) {
	switch {
	case e == nil:
		j.find(id, "", UnlinkedIdentity, "Ory has the identity, and the ledger has no entry of it",
			"finds its user or makes one, as the first request would")
	case e.Link.State == symbolon.OnHold:
		j.diffHeld(id, e)
	case e.Link.State == symbolon.Linked:
		j.diffLinked(id, e, digest, key)
	}
	return j
}

func (j *judgement) find(id symbolon.Identity, user symbolon.UserID, kind symbolon.FindingKind, detail, repair string) {
	j.findings = append(j.findings, Finding{Kind: kind, Identity: id.ID, User: user, Detail: detail, Repair: repair})
}

func (j *judgement) diffHeld(id symbolon.Identity, e *symbolon.Entry) {
	const detail = "Ory has the identity, and the ledger holds it back: it has no user"
	kind, repair := e.Link.Reason, ""
	switch kind {
	case symbolon.CannotCreate:
		repair = "tries once more to make its row"
	case symbolon.RecreatedIdentity:
		repair = "asks Ory once more whether the other identity is gone; bind settles it"
	}
	j.find(id, e.Link.User, kind, detail, repair)
}

func (j *judgement) diffLinked(id symbolon.Identity, e *symbolon.Entry, digest, key string) {
	user := e.Link.User
	switch {
	case e.User == nil && e.Row == nil:
		j.find(id, user, symbolon.UserGone, fmt.Sprintf("the ledger binds it to user %s, who has no row, and Forget was not called", user), "")
		return
	case e.User == nil || e.User.Identity != id.ID || e.Row != nil && e.Row.ID != user:
		j.find(id, user, symbolon.ColumnDisagrees, fmt.Sprintf("the ledger binds it to user %s, %s; bind settles it", user, columnSays(e)), "")
		return
	case e.Digest != digest:
		j.find(id, user, StaleColumns, fmt.Sprintf("Ory says something else than was last written to the columns of user %s", user),
			"writes what Ory says now")
	case e.LeftOut:
		j.find(id, user, ColumnsLeftOut, fmt.Sprintf("the row of user %s refused some of what Ory says; show says which columns", user), "")
	}
	j.diffBackReference(id, user, key)
}

func columnSays(e *symbolon.Entry) string {
	if e.Row != nil && e.Row.ID != e.Link.User {
		return fmt.Sprintf("and the row of user %s holds the identity", e.Row.ID)
	}
	if e.User != nil && e.User.Identity != "" {
		return "whose row holds another identity"
	}
	return "whose row does not hold it"
}

// diffBackReference looks at what stands at Ory. It is never written over.
func (j *judgement) diffBackReference(id symbolon.Identity, user symbolon.UserID, key string) {
	var top map[string]json.RawMessage
	if len(id.MetadataPublic) > 0 && json.Unmarshal(id.MetadataPublic, &top) != nil {
		j.find(id, user, symbolon.MetadataNotObject, "metadata_public is no object, so that the user's ID cannot stand there; it is left", "")
		return
	}
	raw := bytes.TrimSpace(top[key])
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw) // a number may be a user's ID
	}
	switch text {
	case "", "null":
		j.noBackReference = true
	case string(user):
	default:
		j.find(id, user, symbolon.ForeignBackReference,
			fmt.Sprintf("metadata_public.%s holds something else than user %s; it is left, and nothing depends on it", key, user), "")
	}
}

// wanted keeps the findings of the kinds that were asked for.
func (o Options) wanted(findings []Finding) []Finding {
	if len(o.Only) == 0 {
		return findings
	}
	return slices.DeleteFunc(findings, func(f Finding) bool { return !slices.Contains(o.Only, f.Kind) })
}
