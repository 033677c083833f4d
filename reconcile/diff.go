package reconcile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

// pair is an identity at Ory, its ledger entry, and its open findings. identity or entry
// may be nil. If both are nil, an open finding is all that is left.
type pair struct {
	identity *symbolon.Identity
	entry    *symbolon.Entry
	open     []symbolon.Finding

	unrecorded bool // the ledger has no record of the address that Ory has verified, and needs one
}

// isOpen returns the open finding of a kind, or nil.
func (p pair) isOpen(k symbolon.FindingKind) *symbolon.Finding {
	for i := range p.open {
		if p.open[i].Kind == k {
			return &p.open[i]
		}
	}
	return nil
}

func (p pair) id() symbolon.IdentityID {
	if p.identity != nil {
		return p.identity.ID
	}
	return p.entry.Link.Identity
}

// bound reports whether the identity signs in as a user, as its primary or as a further identity.
func (p pair) bound() bool { return p.state() == symbolon.Linked || p.state() == symbolon.Also }

func (p pair) state() symbolon.LinkState {
	if p.entry == nil {
		return ""
	}
	return p.entry.Link.State
}

// rules are the operator's settings that a comparison depends on.
type rules struct {
	key    string // the key in metadata_public that holds the back-reference
	repair bool   // missing back-references must be written

	when link.When // which identities get a user
}

// comparison is the result of comparing one identity.
type comparison struct {
	findings        []Finding
	noBackReference bool
}

// diff compares an identity at Ory with its entry. digest is the digest that the ledger
// would store for the identity now. The functions of this file do no I/O.
func diff(p pair, digest string, r rules) (j comparison) {
	switch p.state() {
	case "":
		if !r.when.Admits(*p.identity) {
			return j // it gets no user of its own, and nothing is recorded about it
		}
		j.find(p, "", UnlinkedIdentity, "Ory has the identity, and the ledger has no entry for it",
			"finds or creates its user, as the first request would")
	case symbolon.OnHold:
		j.diffHeld(p)
	case symbolon.Linked:
		j.diffLinked(p, digest, r)
	case symbolon.Gone, symbolon.Erased:
		j.find(p, p.entry.Link.User, symbolon.IdentityReturned,
			fmt.Sprintf("Ory has the identity again, and the ledger says that it is %s; symbolon bind links it, unless it was erased", p.state()), "")
	}
	return j
}

func (j *comparison) find(p pair, user symbolon.UserID, kind symbolon.FindingKind, detail, repair string) {
	j.findings = append(j.findings, Finding{Kind: kind, Identity: p.id(), User: user, Detail: detail, Repair: repair})
}

func (j *comparison) diffHeld(p pair) {
	detail := "Ory has the identity, and the ledger has it on hold, without a user"
	kind, repair, user := p.entry.Link.Reason, "", p.entry.Link.User
	switch kind {
	case symbolon.CannotCreate:
		repair = "tries again to create its row"
	case symbolon.UnverifiedEmail:
		repair = "checks again whether both sides have verified the address"
	case symbolon.RecreatedIdentity:
		repair = "proves that the other identity is gone and moves its user to this one; only the operator can start it, never the schedule"
	}
	if f := p.isOpen(kind); f != nil {
		detail, user = detail+"; "+f.Detail, f.User
	}
	j.find(p, user, kind, detail, repair)
}

func (j *comparison) diffLinked(p pair, digest string, r rules) {
	e, user := p.entry, p.entry.Link.User
	switch {
	case e.User == nil && e.Row == nil:
		j.find(p, user, symbolon.UserGone, fmt.Sprintf("the ledger links the identity to user %s, which has no row, and Symbolon was not told of the deletion", user), "")
		return
	case e.User == nil || e.User.Identity != p.identity.ID || e.Row != nil && e.Row.ID != user:
		j.find(p, user, symbolon.ColumnDisagrees, fmt.Sprintf("the ledger links the identity to user %s, %s; decide with symbolon bind", user, columnSays(e)), "")
		return
	case e.Digest != digest:
		j.find(p, user, StaleColumns, fmt.Sprintf("Ory's data differs from the data last written to the columns of user %s", user),
			"writes Ory's data to the columns")
	case p.unrecorded:
		j.find(p, user, StaleColumns, "the ledger has no record yet of the address that Ory has verified, which users.on_return needs",
			"records it, and writes Ory's data to the columns")
	case e.LeftOut:
		j.diffLeftOut(p)
	case e.Active != nil && *e.Active != (p.identity.State != symbolon.Inactive):
		j.find(p, user, StateMismatch, fmt.Sprintf("Ory says that the identity is %s, and the row of user %s says that it is not", stateOf(p.identity), user),
			"writes Ory's data to all projected columns")
	}
	j.diffBackReference(p, r)
	if f := p.isOpen(symbolon.VoucherVoid); f != nil && vouchers(p.identity) != nil {
		j.find(p, f.User, symbolon.VoucherVoid, f.Detail, "")
	}
	if f := p.isOpen(decide.InviteVoid); f != nil && f.User != user && invited(p.identity, r.key) {
		j.find(p, f.User, decide.InviteVoid, f.Detail, "")
	}
}

func stateOf(id *symbolon.Identity) symbolon.State {
	if id.State == symbolon.Inactive {
		return symbolon.Inactive
	}
	return symbolon.Active
}

// diffLeftOut reports the findings that the store opened when the row refused a value.
func (j *comparison) diffLeftOut(p pair) {
	user, before := p.entry.Link.User, len(j.findings)
	for _, kind := range []symbolon.FindingKind{symbolon.DuplicateEmail, symbolon.DuplicateValue, symbolon.ColumnRefused} {
		if f := p.isOpen(kind); f != nil {
			repair := ""
			if holdsElsewhere(kind) {
				repair = "asks Ory whether the identity of the other row still has the value, and tries again"
			}
			j.find(p, user, kind, f.Detail, repair)
		}
	}
	if len(j.findings) == before {
		j.find(p, user, symbolon.ColumnRefused, fmt.Sprintf("the row of user %s refused some of Ory's values", user), "")
	}
}

func columnSays(e *symbolon.Entry) string {
	if e.Row != nil && e.Row.ID != e.Link.User {
		return fmt.Sprintf("but the row of user %s holds the identity", e.Row.ID)
	}
	if e.User != nil && e.User.Identity != "" {
		return "but that user's row holds another identity"
	}
	return "but that user's row does not hold the identity"
}

// diffBackReference compares the back-reference at Ory. A repair writes a missing
// back-reference and never replaces an existing one.
func (j *comparison) diffBackReference(p pair, r rules) {
	user := p.entry.Link.User
	text, isObject := backReference(p.identity, r.key)
	switch {
	case !isObject:
		j.find(p, user, symbolon.MetadataNotObject, "metadata_public is not an object, so the user's ID cannot be written there; it is left unchanged", "")
	case text == "":
		j.noBackReference = true
		if r.repair {
			j.find(p, user, symbolon.MissingBackReference, fmt.Sprintf("metadata_public.%s does not hold user %s", r.key, user),
				"writes it, unless the identity was changed or signed in during the last ten minutes")
		}
	case text == string(user):
	case p.isOpen(decide.InviteVoid) != nil && text == string(p.isOpen(decide.InviteVoid).User): // diffLinked reports it
	case p.isOpen(symbolon.ClaimedByOther) != nil:
		f := p.isOpen(symbolon.ClaimedByOther)
		j.find(p, f.User, symbolon.ClaimedByOther, f.Detail, "")
	default:
		j.find(p, user, symbolon.ForeignBackReference,
			fmt.Sprintf("metadata_public.%s does not hold user %s but something else; it is left unchanged, and nothing depends on it", r.key, user), "")
	}
}

// backReference returns the value of the key: the text of a string, or the JSON of
// another type, because a number may be a user's ID. Empty: there is no value.
func backReference(id *symbolon.Identity, key string) (text string, isObject bool) {
	var top map[string]json.RawMessage
	if len(id.MetadataPublic) > 0 && json.Unmarshal(id.MetadataPublic, &top) != nil {
		return "", false
	}
	raw := bytes.TrimSpace(top[key])
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	if text == "null" && bytes.Equal(raw, []byte("null")) {
		text = ""
	}
	return text, true
}

// invited reports whether an identity was signed up with an invite.
func invited(id *symbolon.Identity, key string) bool {
	var top map[string]json.RawMessage
	_ = json.Unmarshal(id.MetadataPublic, &top) // anything but an object holds no proof
	return top[mint.InvitedKey(key)] != nil
}

// vouchers returns metadata_admin.symbolon, which holds vouchers. Nil: there are none.
func vouchers(id *symbolon.Identity) json.RawMessage {
	var top map[string]json.RawMessage
	_ = json.Unmarshal(id.MetadataAdmin, &top) // anything but an object holds none
	return top["symbolon"]
}

// claimedUsers returns the users that an identity's metadata names in any place. It skips
// texts that no database can store as a key.
func claimedUsers(id *symbolon.Identity, key string) (users []symbolon.UserID) {
	var voucher struct{ User string }
	_ = json.Unmarshal(vouchers(id), &voucher) // anything but a voucher names no user
	text, _ := backReference(id, key)
	for _, user := range []string{text, id.ExternalID, voucher.User} {
		if user != "" && len(user) <= 255 && !strings.ContainsAny(user, "\x00\uFFFD") && utf8.ValidString(user) {
			users = append(users, symbolon.UserID(user))
		}
	}
	return users
}

// resolved returns the pair's open findings that no longer hold. found is the result of
// diff for the pair. digest is the same as for diff.
func resolved(p pair, found []Finding, digest string, r rules) (out []symbolon.Finding) {
	for _, f := range p.open {
		again := slices.ContainsFunc(found, func(g Finding) bool { return g.Kind == f.Kind })
		if !again && isResolved(p, f.Kind, digest, r) {
			out = append(out, f)
		}
	}
	return out
}

// isResolved reports whether an open finding of a kind that diff did not find can be
// closed. In doubt it stays open.
func isResolved(p pair, k symbolon.FindingKind, digest string, r rules) bool {
	if p.identity == nil {
		switch p.state() {
		case symbolon.Linked, symbolon.Also: // a missing identity is not proved gone
			return false
		case "", symbolon.OnHold:
			return k == UnlinkedIdentity || k == OrphanUser
		}
		return k != symbolon.RowKept // the link has ended, so its other findings no longer matter
	}
	switch k {
	case UnlinkedIdentity, OrphanUser, StaleColumns, StateMismatch, symbolon.MissingBackReference, symbolon.IdentityReturned:
		return true
	}
	switch p.state() {
	case symbolon.Forgotten, symbolon.OnHold: // it has no row
		return k == symbolon.UserGone || k == symbolon.ColumnDisagrees || holdsElsewhere(k) || k == symbolon.ColumnRefused
	case symbolon.Also:
		return k != symbolon.ColumnDisagrees // Symbolon compares no data of a further identity
	case symbolon.Linked:
		return isResolvedLinked(p, k, digest, r)
	}
	return false
}

func isResolvedLinked(p pair, k symbolon.FindingKind, digest string, r rules) bool {
	switch k {
	case symbolon.UserGone, symbolon.ColumnDisagrees, symbolon.CannotCreate, symbolon.Moved, symbolon.RecreatedIdentity,
		symbolon.UnverifiedEmail, symbolon.MetadataNotObject, symbolon.AdoptAmbiguous, symbolon.NotAdopted, decide.InviteVoid, decide.ReturnedPerson:
		return true
	case symbolon.DuplicateEmail, symbolon.DuplicateValue, symbolon.ColumnRefused:
		return !p.entry.LeftOut && p.entry.Digest == digest
	case symbolon.ForeignBackReference, symbolon.ClaimedByOther, symbolon.VoucherVoid:
		for _, user := range claimedUsers(p.identity, r.key) {
			if user != p.entry.Link.User {
				return false
			}
		}
		_, isObject := backReference(p.identity, r.key)
		return isObject && (k != symbolon.VoucherVoid || vouchers(p.identity) == nil)
	}
	return false
}

// missingFinding is the finding for an entry whose identity is not in the listing. ok is
// false if this is not a difference.
func missingFinding(p pair) (f Finding, ok bool) {
	f = Finding{Identity: p.entry.Link.Identity, User: p.entry.Link.User}
	kept := p.isOpen(symbolon.RowKept)
	switch {
	case p.state() == symbolon.Linked:
		f.Kind, f.Detail = OrphanUser, fmt.Sprintf("the ledger links the identity to user %s, but the identity is not in Ory's listing", f.User)
		f.Repair = "proves that it is gone and applies on_identity_deleted to the row"
	case p.state() == symbolon.Also:
		f.Kind, f.Detail = OrphanUser, fmt.Sprintf("the identity is a further one of user %s, but it is not in Ory's listing", f.User)
		f.Repair = "proves that it is gone and ends its link; the user and its row stay"
	case p.state() == symbolon.OnHold && len(p.open) > 0:
		f.Kind, f.Detail = p.entry.Link.Reason, "the ledger has the identity on hold, and it is not in Ory's listing"
		f.Repair = "proves that it is gone and closes its findings"
	case p.state() == symbolon.Gone && kept != nil:
		f.Kind, f.Detail = symbolon.RowKept, kept.Detail
		f.Repair = "tries again to apply on_identity_deleted to the row"
	default:
		return f, false
	}
	return f, true
}
