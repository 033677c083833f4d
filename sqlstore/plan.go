package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// apply applies the plan to the users table and to w.entry.
func (w *writer) apply(ctx context.Context) error {
	if w.plan.Action != symbolon.Keep && w.plan.BackReference != "" && !w.before.none() {
		w.entry.BackReference = w.plan.BackReference
	}
	switch w.plan.Action {
	case symbolon.Keep, symbolon.Wait:
		return nil
	case symbolon.Confirm:
		return w.closeFindings(ctx, symbolon.MissingBackReference)
	case symbolon.Update:
		return w.update(ctx)
	case symbolon.Create:
		return w.create(ctx)
	case symbolon.Attach:
		switch {
		case w.merges():
			return w.merge(ctx)
		case w.plan.Also:
			return w.linkAlso(ctx)
		}
		return w.attach(ctx)
	case symbolon.Detach:
		return w.detach(ctx)
	case symbolon.Hold:
		if w.before.Reason == symbolon.UnverifiedEmail && w.plan.Reason != symbolon.UnverifiedEmail {
			if err := w.closeFindings(ctx, symbolon.UnverifiedEmail); err != nil { // the address is verified now
				return err
			}
		}
		return w.hold()
	case symbolon.End:
		return w.endLink(ctx)
	case symbolon.Deny:
		if w.bound() {
			return nil
		}
		return w.hold()
	}
	return plainError{fmt.Errorf("the plan has the action %q, which no store knows", w.plan.Action)}
}

// bound reports whether the entry has a user, living or deleted, or a link that has ended.
// A hold never replaces such an entry, because the entry prevents a deleted ID from being
// used again.
func (w *writer) bound() bool {
	switch w.before.State {
	case symbolon.Linked, symbolon.Also, symbolon.Forgotten, symbolon.Gone, symbolon.Erased:
		return true
	}
	return false
}

func (w *writer) hold() error {
	if w.plan.Reason == "" {
		return plainError{fmt.Errorf("the plan has the action %q without a reason", w.plan.Action)}
	}
	if w.before.State == symbolon.OnHold && w.before.Reason == w.plan.Reason {
		return nil
	}
	w.entry.State, w.entry.Reason, w.entry.Source, w.entry.also = symbolon.OnHold, w.plan.Reason, w.q.Reading.Source, ""
	if w.entry.At.IsZero() {
		w.entry.At = w.now
	}
	why := w.plan.Why
	if why == "" && w.plan.Err != nil {
		why = w.plan.Err.Error()
	}
	w.event(symbolon.Event{Kind: symbolon.LinkHeld, User: w.entry.User, Finding: w.plan.Reason, Detail: why})
	return nil
}

func (w *writer) create(ctx context.Context) error {
	if other, err := w.misspelt(ctx); err != nil || other != "" {
		if err != nil {
			return err
		}
		return w.refuse(fmt.Sprintf("the row of user %s has the identity's ID in another spelling than Ory's; symbolon doctor prints the SQL that corrects it", other))
	}
	e := symbolon.Event{Kind: symbolon.UserLinked, Detail: w.plan.Why}
	if w.plan.Retire != "" {
		e.Kind, e.Before = symbolon.UserRecreated, w.plan.Retire
		if _, err := w.db.exec(ctx, retire, w.q.Project, string(w.plan.Retire), moment{w.now}); err != nil {
			return err
		}
	}
	w.together = w.commitsTogether()
	user, cells, left, err := w.insertUser(ctx)
	if err != nil || user == "" {
		return err // nil if the table refused the row; the entry is then on hold
	}
	e.User = user
	if w.plan.Retire != "" {
		if err := w.moveFurther(ctx, w.plan.Retire, user); err != nil {
			return err
		}
	}
	w.bind(user)
	w.event(e)
	w.entry.Ticket = w.q.Reading.Ticket
	w.columnsWritten(cells, left)
	if w.plan.Conflict {
		w.event(symbolon.Event{Kind: symbolon.ClaimRefused, User: user, Detail: w.plan.Why})
	}
	return w.closeFindings(ctx)
}

// bind links the identity to the user in the entry.
func (w *writer) bind(user symbolon.UserID) {
	w.out.New = true
	w.entry.User, w.entry.State, w.entry.Reason = user, symbolon.Linked, ""
	w.entry.Source, w.entry.At = w.q.Reading.Source, w.now
	w.entry.also = ""
	if user != w.before.User || w.before.State == symbolon.Also {
		w.entry.Ticket, w.entry.digest = 0, "" // no column of the new user is written yet
	}
	if w.plan.BackReference != "" {
		w.entry.BackReference = w.plan.BackReference
	}
}

// refuse ends a Create or an Attach that the application's table refused. The identity gets
// a finding and no user, and the next call tries again.
func (w *writer) refuse(detail string) error {
	id := w.q.Reading.Identity.ID
	w.plan = symbolon.Plan{Action: symbolon.Hold, Reason: symbolon.CannotCreate, Why: detail, Run: w.plan.Run,
		Findings: []symbolon.Finding{{Kind: symbolon.CannotCreate, Identity: id, Detail: detail}},
		Err:      &symbolon.DenyError{Identity: id, Finding: symbolon.CannotCreate, Detail: detail, Err: symbolon.ErrCannotCreate}}
	if w.bound() {
		w.plan.Action = symbolon.Deny
		return nil
	}
	return w.hold()
}

// attach links an existing user. It writes the identity to the row. It also writes the
// projected columns if the reading has a ticket.
func (w *writer) attach(ctx context.Context) error {
	user, key, ok := w.shape.key(w.plan.User)
	if !ok {
		return plainError{fmt.Errorf("user ID %q cannot be a key of table %s", w.plan.User, w.shape.users.table())}
	}
	if w.plan.Revive {
		if err := w.revive(ctx, user); err != nil {
			return err
		}
	}
	if err := w.release(ctx, user); err != nil { // entries are locked before rows, as in an application that calls Forget and then deletes the row
		return err
	}
	if err := w.meet(ctx, key); err != nil {
		return err
	}
	refusal, err := w.takeRow(ctx, user, key)
	if err != nil {
		return err
	}
	if refusal != "" {
		if w.bound() || w.plan.Release != "" {
			return plainError{fmt.Errorf("the row of user %s cannot hold the identity: %s", user, refusal)}
		}
		return w.refuse(fmt.Sprintf("the row of user %s cannot hold the identity: %s", user, refusal))
	}
	if w.before.State != symbolon.Linked || w.before.User != user {
		w.bind(user)
		e := symbolon.Event{Kind: symbolon.UserLinked, User: user, Detail: w.plan.Why, Adopted: w.plan.Adopted}
		if w.before.User != user {
			e.Before = w.before.User
		}
		w.event(e)
	} else if w.wrote {
		w.event(symbolon.Event{Kind: symbolon.UserUpdated, User: user, Detail: w.plan.Why})
	}
	if w.q.Reading.Ticket > w.entry.Ticket {
		cells, left, err := w.writeColumns(ctx, user)
		if err != nil {
			return err
		}
		w.entry.Ticket = w.q.Reading.Ticket
		w.columnsWritten(cells, left)
	}
	return w.closeFindings(ctx)
}

// release takes the user from the identities that had it. They are put on hold, or with
// ReleaseGone their entries end.
func (w *writer) release(ctx context.Context, user symbolon.UserID) error {
	if w.plan.Release == "" {
		return nil
	}
	losers := []symbolon.IdentityID{w.plan.Release}
	for i, c := range w.read.held.Claims {
		id, _, _ := w.shape.key(w.q.Claims[i])
		if id == user && c.Linked != "" && c.Linked != w.plan.Release {
			losers = append(losers, c.Linked) // the row names one identity and the ledger another
		}
	}
	for _, loser := range losers {
		if _, err := symbolon.ParseIdentityID(string(loser)); err != nil || loser == w.q.Reading.Identity.ID {
			continue // the column does not hold an identity's ID
		}
		if w.plan.ReleaseGone {
			if err := w.releaseGone(ctx, loser, user); err != nil {
				return err
			}
			continue
		}
		if err := w.db.change(ctx, moveAway, w.q.Project, string(loser), string(user)); err != nil {
			return err
		}
		detail := fmt.Sprintf("the operator took user %s from this identity and bound it to identity %s; symbolon bind can give this identity a user again", user, w.q.Reading.Identity.ID)
		w.event(symbolon.Event{Kind: symbolon.LinkMoved, Identity: loser, Before: user, Finding: symbolon.Moved, Detail: w.plan.Why})
		w.plan.Findings = append(w.plan.Findings, symbolon.Finding{Kind: symbolon.Moved, Identity: loser, User: user, Detail: detail})
	}
	return nil
}

// update writes a newer reading to the row.
func (w *writer) update(ctx context.Context) error {
	user, _, ok := w.shape.key(w.plan.User)
	if !ok {
		return plainError{fmt.Errorf("user ID %q: %w %s", w.plan.User, errNoKey, w.shape.users.table())}
	}
	if w.before.State != symbolon.Linked || w.before.User != user {
		return plainError{fmt.Errorf("the plan updates user %q, whom the identity does not have", w.plan.User)}
	}
	if w.q.Reading.Ticket <= w.before.Ticket {
		return w.writeForm(ctx, user)
	}
	w.entry.Ticket = w.q.Reading.Ticket
	cells := w.shape.paths(w.q.Reading.Identity)
	written := w.before.digest == digest(cells) || w.before.digest == digestToWrite(cells)
	if written && !w.q.Reading.Rewrite {
		return w.closeFindings(ctx, symbolon.UserGone, symbolon.ColumnDisagrees)
	}
	cells, left, err := w.writeColumns(ctx, user)
	if err != nil {
		return err
	}
	return w.updated(ctx, cells, left)
}

// leftOutKinds are the kinds of findings that say that a column was left out.
var leftOutKinds = []symbolon.FindingKind{symbolon.DuplicateEmail, symbolon.DuplicateValue, symbolon.ColumnRefused}

// updated notes that an existing row was written.
func (w *writer) updated(ctx context.Context, cells []cell, left []leftOut) error {
	w.columnsWritten(cells, left)
	if w.entry.digest != w.before.digest || w.q.Reading.Rewrite {
		w.event(symbolon.Event{Kind: symbolon.UserUpdated, User: w.entry.User, Detail: w.plan.Why})
	}
	fixed := []symbolon.FindingKind{symbolon.UserGone, symbolon.ColumnDisagrees}
	if len(left) == 0 || w.mode != activeAlone { // otherwise not every column was tried
		fixed = append(fixed, leftOutKinds...)
	}
	return w.closeFindings(ctx, fixed...)
}

// leftOut is a column that was not written, and the reason.
type leftOut struct {
	column string
	kind   symbolon.FindingKind
	why    string
}

// columnsWritten notes the digest of the reading, and a finding for each kind of reason why
// columns could not be written. If a column was not written, the digest gets a mark, so that
// the next reading tries again even if nothing has changed.
func (w *writer) columnsWritten(cells []cell, left []leftOut) {
	w.entry.digest = digestToWrite(cells)
	if w.waits {
		w.entry.digest = waitingMark + digest(cells)
	}
	if len(left) == 0 {
		return
	}
	w.entry.digest = refusedMark + w.entry.digest
	w.findLeftOut(left)
}

// findLeftOut adds a finding for each kind of reason.
func (w *writer) findLeftOut(left []leftOut) {
	for _, kind := range leftOutKinds {
		var details []string
		for _, l := range left {
			if l.kind == kind {
				details = append(details, "column "+l.column+" was left out: "+l.why)
			}
		}
		if len(details) > 0 {
			w.plan.Findings = append(w.plan.Findings, symbolon.Finding{Kind: kind, Identity: w.q.Reading.Identity.ID,
				User: w.entry.User, Detail: strings.Join(details, "; ")})
		}
	}
}

// recordFindings opens the plan's findings that are not open yet.
func (w *writer) recordFindings(ctx context.Context) error {
	for _, f := range w.plan.Findings {
		if f.Identity == "" {
			f.Identity = w.q.Reading.Identity.ID
		}
		n, err := w.db.exec(ctx, openFinding, w.q.Project, string(f.Identity), string(f.Kind), null(f.User), f.Detail, moment{w.now})
		if err != nil {
			return err
		}
		if n > 0 {
			f.At = w.now
			w.out.Opened = append(w.out.Opened, f)
			w.event(symbolon.Event{Kind: symbolon.FindingOpened, Identity: f.Identity, User: f.User, Finding: f.Kind, Detail: f.Detail})
		}
	}
	return nil
}

// closeFindings closes the identity's open findings of the given kinds, except those that
// the plan finds again. If no kind is given, it closes findings of every kind.
func (w *writer) closeFindings(ctx context.Context, kinds ...symbolon.FindingKind) error {
	if !w.read.open {
		return nil
	}
	open, err := findings(ctx, w.db, w.q.Project, w.q.Reading.Identity.ID)
	if err != nil {
		return err
	}
	for _, f := range open {
		again := slices.ContainsFunc(w.plan.Findings, func(p symbolon.Finding) bool { return p.Kind == f.Kind && p.Identity == f.Identity })
		if again || len(kinds) > 0 && !slices.Contains(kinds, f.Kind) {
			continue
		}
		if _, err := w.db.exec(ctx, closeFinding, moment{w.now}, w.q.Project, string(f.Identity), string(f.Kind)); err != nil {
			return err
		}
		w.event(symbolon.Event{Kind: symbolon.FindingClosed, User: f.User, Finding: f.Kind})
	}
	return nil
}
