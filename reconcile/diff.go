package reconcile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
)

// pair is an identity, what the ledger has of it, and which of its findings are open.
// identity or entry may be nil, not both unless a finding is all that is left.
type pair struct {
	identity *symbolon.Identity
	entry    *symbolon.Entry
	open     []symbolon.Finding
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

func (p pair) state() symbolon.LinkState {
	if p.entry == nil {
		return ""
	}
	return p.entry.Link.State
}

// rules are what the operator chose, as far as a comparison goes by it.
type rules struct {
	key    string // below metadata_public: it holds the back-reference
	repair bool   // back-references that are missing are to be written
}

// judgement is what a comparison of one identity says.
type judgement struct {
	findings        []Finding
	noBackReference bool
}

// diff compares an identity as it was read at Ory with what is held of it. digest is
// the ledger's of the identity. It is pure, as are all functions of this file.
func diff(p pair, digest string, r rules) (j judgement) {
	switch p.state() {
	case "":
		j.find(p, "", UnlinkedIdentity, "Ory has the identity, and the ledger has no entry of it",
			"finds its user or makes one, as the first request would")
	case symbolon.OnHold:
		j.diffHeld(p)
	case symbolon.Linked:
		j.diffLinked(p, digest, r)
	case symbolon.Gone, symbolon.Erased:
		j.find(p, p.entry.Link.User, symbolon.IdentityReturned,
			fmt.Sprintf("Ory has the identity again, and the ledger says that it is %s; bind settles it unless it was erased", p.state()), "")
	}
	return j
}

func (j *judgement) find(p pair, user symbolon.UserID, kind symbolon.FindingKind, detail, repair string) {
	var id symbolon.IdentityID
	if p.identity != nil {
		id = p.identity.ID
	} else {
		id = p.entry.Link.Identity
	}
	j.findings = append(j.findings, Finding{Kind: kind, Identity: id, User: user, Detail: detail, Repair: repair})
}

func (j *judgement) diffHeld(p pair) {
	detail := "Ory has the identity, and the ledger holds it back: it has no user"
	kind, repair, user := p.entry.Link.Reason, "", p.entry.Link.User
	switch kind {
	case symbolon.CannotCreate:
		repair = "tries once more to make its row"
	case symbolon.UnverifiedEmail:
		repair = "asks once more whether both sides have verified the address"
	case symbolon.RecreatedIdentity:
		repair = "proves that the other identity is gone and gives this one its user: by the operator's word, never by the schedule"
	}
	if f := p.isOpen(kind); f != nil {
		detail, user = detail+"; "+f.Detail, f.User
	}
	j.find(p, user, kind, detail, repair)
}

func (j *judgement) diffLinked(p pair, digest string, r rules) {
	e, user := p.entry, p.entry.Link.User
	switch {
	case e.User == nil && e.Row == nil:
		j.find(p, user, symbolon.UserGone, fmt.Sprintf("the ledger binds it to user %s, who has no row, and Forget was not called", user), "")
		return
	case e.User == nil || e.User.Identity != p.identity.ID || e.Row != nil && e.Row.ID != user:
		j.find(p, user, symbolon.ColumnDisagrees, fmt.Sprintf("the ledger binds it to user %s, %s; bind settles it", user, columnSays(e)), "")
		return
	case e.Digest != digest:
		j.find(p, user, StaleColumns, fmt.Sprintf("Ory says something else than was last written to the columns of user %s", user),
			"writes what Ory says now")
	case e.LeftOut:
		j.diffLeftOut(p)
	case e.Active != nil && *e.Active != (p.identity.State != symbolon.Inactive):
		j.find(p, user, StateMismatch, fmt.Sprintf("Ory says that the identity is %s, and the row of user %s says that it is not", stateOf(p.identity), user),
			"writes all projected columns again as Ory says")
	}
	j.diffBackReference(p, r)
	if f := p.isOpen(symbolon.VoucherVoid); f != nil && holdsPaper(p.identity) {
		j.find(p, f.User, symbolon.VoucherVoid, f.Detail, "")
	}
}

func stateOf(id *symbolon.Identity) symbolon.State {
	if id.State == symbolon.Inactive {
		return symbolon.Inactive
	}
	return symbolon.Active
}

// diffLeftOut goes by the findings that the ledger opened when the row refused.
func (j *judgement) diffLeftOut(p pair) {
	user, before := p.entry.Link.User, len(j.findings)
	for _, kind := range []symbolon.FindingKind{symbolon.DuplicateEmail, symbolon.ColumnRefused} {
		if f := p.isOpen(kind); f != nil {
			j.find(p, user, kind, f.Detail, "")
		}
	}
	if len(j.findings) == before {
		j.find(p, user, symbolon.ColumnRefused, fmt.Sprintf("the row of user %s refused some of what Ory says", user), "")
	}
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
func (j *judgement) diffBackReference(p pair, r rules) {
	user := p.entry.Link.User
	text, isObject := backReference(p.identity, r.key)
	switch {
	case !isObject:
		j.find(p, user, symbolon.MetadataNotObject, "metadata_public is no object, so that the user's ID cannot stand there; it is left", "")
	case text == "":
		j.noBackReference = true
		if r.repair {
			j.find(p, user, symbolon.MissingBackReference, fmt.Sprintf("metadata_public.%s does not hold user %s", r.key, user),
				"writes it, unless the identity was changed or signed in within ten minutes")
		}
	case text == string(user):
	case p.isOpen(symbolon.ClaimedByOther) != nil:
		f := p.isOpen(symbolon.ClaimedByOther)
		j.find(p, f.User, symbolon.ClaimedByOther, f.Detail, "")
	default:
		j.find(p, user, symbolon.ForeignBackReference,
			fmt.Sprintf("metadata_public.%s holds something else than user %s; it is left, and nothing depends on it", r.key, user), "")
	}
}

// backReference is what stands below the key: empty for nothing, the text of a string
// or else the JSON as it is, for a number may be a user's ID.
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

// holdsPaper reports whether metadata_admin.symbolon is there, where vouchers are.
func holdsPaper(id *symbolon.Identity) bool {
	var top map[string]json.RawMessage
	return json.Unmarshal(id.MetadataAdmin, &top) == nil && top["symbolon"] != nil
}

// claims are the users that an identity's metadata names, for whatever reason. What no
// database can hold as a key names nobody.
func claims(id *symbolon.Identity, key string) (users []symbolon.UserID) {
	var voucher struct{ User string }
	var top map[string]json.RawMessage
	if json.Unmarshal(id.MetadataAdmin, &top) == nil {
		_ = json.Unmarshal(top["symbolon"], &voucher) // what is no voucher names nobody
	}
	text, _ := backReference(id, key)
	for _, user := range []string{text, id.ExternalID, voucher.User} {
		if user != "" && len(user) <= 255 && !strings.ContainsAny(user, "\x00\uFFFD") && utf8.ValidString(user) {
			users = append(users, symbolon.UserID(user))
		}
	}
	return users
}

// over are the open findings of the pair that are no longer so, given what was found:
// those that a comparison can judge. digest is as for diff.
func over(p pair, found []Finding, digest string, r rules) (out []symbolon.Finding) {
	for _, f := range p.open {
		again := false
		for _, g := range found {
			again = again || g.Kind == f.Kind
		}
		if !again && isOver(p, f.Kind, digest, r) {
			out = append(out, f)
		}
	}
	return out
}

// isOver judges a kind that was not found. Whatever leaves doubt stays open.
func isOver(p pair, k symbolon.FindingKind, digest string, r rules) bool {
	if p.identity == nil {
		switch p.state() {
		case symbolon.Linked: // a mere absence ends nothing
			return false
		case "", symbolon.OnHold:
			return k == UnlinkedIdentity || k == OrphanUser
		}
		return k != symbolon.RowKept // it is over, and so is what was wrong with it
	}
	switch k {
	case UnlinkedIdentity, OrphanUser, StaleColumns, StateMismatch, symbolon.MissingBackReference, symbolon.IdentityReturned:
		return true
	}
	switch p.state() {
	case symbolon.Forgotten:
		return k == symbolon.UserGone || k == symbolon.ColumnDisagrees || k == symbolon.DuplicateEmail || k == symbolon.ColumnRefused
	case symbolon.Linked:
		return isOverLinked(p, k, digest, r)
	}
	return false
}

func isOverLinked(p pair, k symbolon.FindingKind, digest string, r rules) bool {
	switch k {
	case symbolon.UserGone, symbolon.ColumnDisagrees, symbolon.CannotCreate, symbolon.Moved, symbolon.RecreatedIdentity,
		symbolon.UnverifiedEmail, symbolon.MetadataNotObject:
		return true
	case symbolon.DuplicateEmail, symbolon.ColumnRefused:
		return !p.entry.LeftOut && p.entry.Digest == digest
	case symbolon.ForeignBackReference, symbolon.ClaimedByOther, symbolon.VoucherVoid:
		for _, user := range claims(p.identity, r.key) {
			if user != p.entry.Link.User {
				return false
			}
		}
		_, isObject := backReference(p.identity, r.key)
		return isObject && (k != symbolon.VoucherVoid || !holdsPaper(p.identity))
	}
	return false
}

// lost says what it means that the listing does not have an entry's identity: the
// kind and a sentence, or nothing.
func lost(p pair) (f Finding, ok bool) {
	var j judgement
	user := p.entry.Link.User
	switch {
	case p.state() == symbolon.Linked:
		j.find(p, user, OrphanUser, fmt.Sprintf("the ledger binds it to user %s, and Ory's listing does not have it", user),
			"proves that it is gone and lets the row follow on_identity_deleted")
	case p.state() == symbolon.OnHold && len(p.open) > 0:
		j.find(p, user, p.entry.Link.Reason, "the ledger holds the identity back, and Ory's listing does not have it",
			"proves that it is gone and closes what was found of it")
	case p.state() == symbolon.Gone && p.isOpen(symbolon.RowKept) != nil:
		j.find(p, user, symbolon.RowKept, p.isOpen(symbolon.RowKept).Detail, "tries once more to let the row follow on_identity_deleted")
	default:
		return f, false
	}
	return j.findings[0], true
}
