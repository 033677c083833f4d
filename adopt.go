package symbolon

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ByAdopt: an operator's plan for identities and users that were both there before.
const ByAdopt Way = "adopt"

// Proof says by what an identity and an existing user are known to be one person's
// halves. Beside the constants it is "metadata_public.KEY" or "column:NAME".
type Proof string

const (
	ByIdentityColumn Proof = "identity_column" // the row's identity column holds the identity's ID
	ByVoucher        Proof = "voucher"         // metadata_admin.symbolon
	ByExternalID     Proof = "external_id"     // the identity's external_id is the user's ID
	ByVerifiedEmail  Proof = "verified_email"  // one address, verified by both; see JudgeEmail
)

const (
	metadataProof = "metadata_public."
	columnProof   = "column:"
)

// MetadataKey is KEY of "metadata_public.KEY".
func (p Proof) MetadataKey() (string, bool) { return strings.CutPrefix(string(p), metadataProof) }

// Column is NAME of "column:NAME": a column of the users table, other than the
// identity column, that holds identity IDs.
func (p Proof) Column() (string, bool) { return strings.CutPrefix(string(p), columnProof) }

// Adoption is one line of an operator's plan: this identity and this user are one
// person's, and what says so.
type Adoption struct {
	Identity IdentityID
	User     UserID
	By       Proof

	// Run names the plan that is carried out: up to 64 lower-case letters, digits and
	// hyphens. The history keeps it with every bond, so that the run can be undone.
	Run string
}

// UserRow is a row of the users table as an adoption looks at it.
type UserRow struct {
	Row
	Retired bool   // its ID was given up and is never bound again
	Column  string // what the column holds that was asked for
	Email   string // as it stands there
	Checked bool   // the application has verified the address
}

// Says returns the user that the identity itself names in the place that by means:
// metadata, external_id, or a voucher, which counts only with a good proof. Empty: it
// names none there.
func (l *Linker) Says(id Identity, by Proof) UserID {
	l.setup()
	return claimOf(id, by, l.minter)
}

// Adopt binds an identity to an existing user as a plan says, if what the plan relied
// on is still so: the identity is read again at Ory, and both halves are unbound. Of
// the user's row nothing is written but the identity column. made is false where the
// two are bound already. What "column:NAME" holds only the caller can see.
//
// Errors: *ConflictError says which fact has changed; ErrNotFound: either half does
// not exist any more; ErrUnavailable; ErrNoAdmin.
func (l *Linker) Adopt(ctx context.Context, a Adoption) (link Link, made bool, err error) {
	l.setup()
	if !l.Ory.HasAdmin() {
		return Link{}, false, ErrNoAdmin
	}
	if !validRun(a.Run) {
		return Link{}, false, fmt.Errorf("adopt: %.64q cannot name a run", a.Run)
	}
	id, err := l.Ory.Identity(ctx, a.Identity)
	if err != nil {
		return Link{}, false, fmt.Errorf("adopt: read identity %s at Ory: %w", a.Identity, err)
	}
	p, says := l.policy(), l.Says(id, a.By)
	q := Query{Project: l.project(), Seen: Seen{Identity: id, Way: ByAdopt, Admin: true}, Claims: []UserID{a.User}}
	if a.By == ByVerifiedEmail {
		q.Emails = id.Emails()
	}
	out, err := l.carryOut(WithSeen(ctx, q.Seen), q, func(h Held) (Plan, error) { return decideAdopt(q.Seen, h, a, says, p) })
	link, err = l.finish(ctx, q.Seen, out, err)
	return link, out.New, err
}

// decideAdopt is pure, as decide is. says is whom the identity names by itself.
func decideAdopt(s Seen, h Held, a Adoption, says UserID, p policy) (Plan, error) {
	target := held(h, 0)
	conflict := func(format string, args ...any) (Plan, error) {
		return Plan{}, &ConflictError{Identity: a.Identity, User: a.User, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case target.Retired:
		return conflict("this ID belonged to a user that was deleted and is never given out again")
	case target.Row == nil:
		return Plan{}, fmt.Errorf("user %s has no row in the users table: %w", a.User, ErrNotFound)
	case h.Link != nil && h.Link.State == Linked && h.Link.User == target.Row.ID && target.Row.Identity == a.Identity:
		return Plan{Action: Keep, User: target.Row.ID}, nil
	case h.Link != nil && h.Link.State != OnHold:
		return conflict("the ledger has the identity as %s with user %s by now", h.Link.State, h.Link.User)
	case h.Row != nil && h.Row.ID != target.Row.ID:
		return conflict("the row of user %s holds the identity by now", h.Row.ID)
	case otherOwner(target, a.Identity) != "":
		return conflict("the user belongs to identity %s by now", otherOwner(target, a.Identity))
	}
	if change := unproved(a, s.Identity, h, says, target.Row.ID); change != "" {
		return conflict("%s", change)
	}
	return Plan{Action: Attach, User: target.Row.ID, Why: adoptedBy(a, h), BackReference: backReference(s, target.Row.ID, p)}, nil
}

// unproved says which fact the line relied on is not so any more.
func unproved(a Adoption, id Identity, h Held, says, user UserID) string {
	if _, ok := a.By.Column(); ok {
		return ""
	}
	switch a.By {
	case ByIdentityColumn:
		if h.Row == nil {
			return "the user's row does not hold the identity any more"
		}
	case ByVerifiedEmail:
		if found, verdict := JudgeEmail(id, h.Matches); verdict != EmailProves || found != user {
			return "the e-mail address does not prove it any more: " + string(verdict)
		}
	default:
		if says != user {
			return fmt.Sprintf("the identity's %s does not name the user any more", a.By)
		}
	}
	return ""
}

// What the history says of an adoption. Undoing reads it.
const (
	columnWasSet = "; its column was set"
	wasOnHold    = "; it was on hold: "
)

func adoptedBy(a Adoption, h Held) string {
	why := AdoptMark(a.Run) + "by " + string(a.By)
	if h.Row == nil {
		why += columnWasSet
	}
	if h.Link != nil && h.Link.State == OnHold {
		why += wasOnHold + string(h.Link.Reason)
	}
	return why
}

// AdoptMark is how the Detail of every event of a run begins.
func AdoptMark(run string) string { return "adopt " + run + ": " }

func validRun(run string) bool {
	odd := func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }
	return run != "" && len(run) <= 64 && !strings.ContainsFunc(run, odd)
}

// Unadopt undoes one bond that [Linker.Adopt] made in a run, of which made is the
// event: the row's identity column is null again if the run set it, and the ledger is
// as it was. What OnLink wrote stays. Undoing it again does nothing.
//
// Errors: *ConflictError where the bond was touched since, by anybody; ErrUnavailable.
// Whether the person signed in since is the caller's to ask.
func (l *Linker) Unadopt(ctx context.Context, run string, made Event) (undone bool, err error) {
	l.setup()
	q := Query{Project: l.project(), Seen: Seen{Identity: Identity{ID: made.Identity}, Way: ByAdopt}, Claims: []UserID{made.User}}
	out, err := l.carryOut(ctx, q, func(h Held) (Plan, error) { return decideUnadopt(h, run, made) })
	_, err = l.finish(ctx, q.Seen, out, err)
	return err == nil && out.Plan.Action == Detach, err
}

// decideUnadopt is pure, as decide is.
func decideUnadopt(h Held, run string, made Event) (Plan, error) {
	why, ours := strings.CutPrefix(made.Detail, AdoptMark(run))
	if !ours || made.Kind != UserLinked || made.Way != ByAdopt {
		return Plan{}, errors.New("undo: the event is none of the run's bonds")
	}
	target := held(h, 0)
	switch {
	case h.Link == nil || h.Link.State == OnHold && h.Link.User == "":
		return Plan{Action: Keep}, nil
	case h.Link.State != Linked || h.Link.User != made.User || h.Link.Way != ByAdopt || !h.Link.At.Equal(made.At):
		return Plan{}, &ConflictError{Identity: made.Identity, User: made.User, Reason: "the bond was made anew or ended since"}
	case target.Row == nil || target.Row.Identity != made.Identity:
		return Plan{}, &ConflictError{Identity: made.Identity, User: made.User, Reason: "the application changed or deleted the user's row since"}
	}
	plan := Plan{Action: Detach, User: made.User, Clear: strings.Contains(why, columnWasSet), Why: AdoptMark(run) + "undone"}
	if _, reason, ok := strings.Cut(why, wasOnHold); ok {
		plan.Reason = FindingKind(reason)
		plan.Findings = []Finding{{Kind: plan.Reason, Identity: made.Identity,
			Detail: "on hold again, because its adoption was undone; bind settles it"}}
	}
	return plan, nil
}
