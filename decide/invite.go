package decide

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// InviteVoid is the finding for an identity that was signed up with an invite and has another
// user, because the invite's user could not be linked.
const InviteVoid symbolon.FindingKind = "invite_void"

// BirthTolerance is how far the creation of an identity may be from the moment at which the
// reserve hook made the proof of its invite. The time covers slow hooks, and the difference of
// the clocks of Ory and of Symbolon.
const BirthTolerance = 2 * time.Minute

// Uninvitable says why no invite can bind the user of which the store knows this. It returns ""
// if an invite can.
func Uninvitable(known symbolon.Claimed, newID symbolon.NewID) string {
	switch owner := known.Owner(); {
	case known.Retired:
		return "the user was deleted"
	case owner != "":
		return fmt.Sprintf("the user belongs to identity %s", owner)
	case known.Linked != "":
		return fmt.Sprintf("the ledger links the user to identity %s", known.Linked)
	case known.Row == nil && newID != symbolon.ByApplication:
		return "the user has no row"
	case known.Row == nil: // the store knows the application's users only by their bonds
		return ""
	case known.Row.Denied != "":
		return "the application denies the user by users.deny." + known.Row.Denied
	case known.Row.Unjudged != "":
		return fmt.Sprintf("no condition of users.deny can judge the value of its column %s", known.Row.Unjudged)
	}
	return ""
}

// InvitedBy reads the proof of an invite in metadata_public. It returns false if there is none
// of this project.
func InvitedBy(metadata json.RawMessage, key string, m *mint.Minter) (mint.Invitation, bool) {
	name := mint.InvitedKey(key)
	if !bytes.Contains(metadata, []byte(name)) { // nearly all identities
		return mint.Invitation{}, false
	}
	var top map[string]json.RawMessage
	var proof string
	if json.Unmarshal(metadata, &top) != nil || json.Unmarshal(top[name], &proof) != nil {
		return mint.Invitation{}, false
	}
	i, ok := m.ReadInvited(proof)
	return i, ok && IsKey(string(i.User))
}

// withInvite adds the proof of an invite. Without an ID at the place of the back-reference the
// proof takes this place: the reserve hook could not read the user, and left the ID out.
func (c claims) withInvite(id symbolon.Identity, p Policy) claims {
	i, ok := InvitedBy(id.MetadataPublic, p.Key, p.Minter)
	if !ok {
		return c
	}
	c.invite = i
	if !c.metadata.Present() && !i.At.IsZero() {
		c.metadata = Claim{User: i.User, Where: "metadata_public." + mint.InvitedKey(p.Key)}
	}
	return c
}

// invited reports whether the claimed ID is that of an invite of this project. Such an ID never
// makes a user: an invite attaches, or does nothing.
func (c claims) invited(claim Claim) bool {
	return claim.User != "" && claim.User == c.invite.User
}

// born reports whether the proof of the invite was made when Ory created this identity.
func (c claims) born(id symbolon.Identity) bool {
	return !c.invite.At.IsZero() && !id.CreatedAt.IsZero() && id.CreatedAt.Sub(c.invite.At).Abs() <= BirthTolerance
}

// spent reports whether the claim in metadata_public is that of this identity's own invite. If
// the invite's user cannot be linked, the person did nothing wrong: the claim is no conflict, and
// does not keep the identity on hold.
func (c claims) spent(id symbolon.Identity) bool { return c.invited(c.metadata) && c.born(id) }

// byInvite binds the existing user whose invite was in the sign-up form of the identity. It
// decides only by what each way in sees, so that all of them reach the same result.
func byInvite(r symbolon.Reading, e symbolon.Evidence, p Policy, c claims) (plan symbolon.Plan, asked Question, ok bool) {
	if !c.invited(c.metadata) {
		return plan, asked, false
	}
	if r.Identity.CreatedAt.IsZero() && p.Admin && !r.Admin {
		return plan, Question{Identity: true}, true
	}
	if !c.born(r.Identity) || Uninvitable(claimedAt(e, atMetadata), p.NewID) != "" {
		return plan, asked, false
	}
	user := c.invite.User
	return symbolon.Plan{Action: symbolon.Attach, User: user, BackReference: backReference(r, user, p), Why: "an invite names the user"}, asked, true
}

// voidInvite returns the finding for an identity with an invite that gets another user, or none
// at all. It keeps the evidence for the operator.
func voidInvite(r symbolon.Reading, e symbolon.Evidence, p Policy, plan symbolon.Plan) []symbolon.Finding {
	if _, ok := InvitedBy(r.Identity.MetadataPublic, p.Key, p.Minter); !ok {
		return nil
	}
	c := claimsOf(r.Identity, p.Key).withInvite(r.Identity, p)
	user := c.invite.User
	if plan.User == user {
		return nil
	}
	outcome := "the identity is on hold"
	switch plan.Action {
	case symbolon.Create:
		outcome = "a new user was made"
	case symbolon.Attach:
		outcome = fmt.Sprintf("it has user %s", plan.User)
	case symbolon.Hold:
	default:
		return nil
	}
	var why string
	switch {
	case c.invite.At.IsZero():
		why = "the invite had expired, or the user could not be linked, when the person signed up"
	case !c.invited(c.metadata):
		why = fmt.Sprintf("%s names another user", c.metadata.Where)
	case !c.born(r.Identity):
		why = fmt.Sprintf("the proof of the invite was made at %s, and the identity was created at %s: the metadata was copied, or the clocks differ",
			c.invite.At.UTC().Format(time.RFC3339), r.Identity.CreatedAt.UTC().Format(time.RFC3339))
	default:
		why = Uninvitable(claimedAt(e, atMetadata), p.NewID)
	}
	return []symbolon.Finding{finding(r, InviteVoid, user, fmt.Sprintf("it was signed up with an invite for user %s, but %s; %s", user, why, outcome))}
}
