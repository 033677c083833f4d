package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// endLink ends a link forever and applies the policy to the user's row. If the table
// refuses the change of the row, the link ends all the same, a finding is recorded, and the
// next call tries again.
func (w *writer) endLink(ctx context.Context) error {
	if w.plan.State != symbolon.Gone && w.plan.State != symbolon.Erased {
		return plainError{fmt.Errorf("the plan ends the link with state %q", w.plan.State)}
	}
	if w.plan.Retire != "" {
		if _, err := w.db.exec(ctx, retire, w.q.Project, string(w.plan.Retire), moment{w.now}); err != nil {
			return err
		}
	}
	if w.plan.Retire != "" || w.plan.State == symbolon.Erased {
		if err := w.forgetAddress(ctx); err != nil {
			return err
		}
	}
	refused, err := w.followPolicy(ctx)
	if err != nil {
		return err
	}
	kind, was := symbolon.IdentityGone, w.entry.State
	if w.plan.State == symbolon.Erased {
		kind = symbolon.UserErased
	}
	w.entry.State, w.entry.Reason, w.entry.User = w.plan.State, "", w.plan.User
	if w.entry.At.IsZero() {
		w.entry.At, w.entry.Source = w.now, w.q.Reading.Source
	}
	if w.plan.Retire != "" {
		w.entry.digest, w.entry.BackReference = "", ""
	}
	if was != w.plan.State || w.wrote {
		w.event(symbolon.Event{Kind: kind, User: w.plan.User, Detail: withPolicy(w.plan.Why, w.plan.Row)})
	}
	if refused != "" {
		w.plan.Findings = append(w.plan.Findings, symbolon.Finding{Kind: symbolon.RowKept, Identity: w.q.Reading.Identity.ID,
			User: w.plan.User, Detail: refused})
	}
	return w.closeFindings(ctx)
}

// withPolicy adds the policy to the reason of an event.
func withPolicy(why string, row symbolon.RowPolicy) string {
	if row == "" {
		return why
	}
	return fmt.Sprintf("%s; row: %s", why, row)
}

// followPolicy applies the plan's policy to the row. refused tells the operator what the
// table refused.
func (w *writer) followPolicy(ctx context.Context) (refused string, err error) {
	if w.plan.Row == "" {
		return "", nil
	}
	if followed, err := w.followed(ctx); err != nil || followed {
		return "", err
	}
	if w.mode == activeAlone {
		return "", errNotAlone
	}
	if w.mode == leaveRow {
		return fmt.Sprintf("the policy could not be applied to the row of user %s: the table refuses it at the commit", w.plan.User), nil
	}
	user, key, ok := w.shape.key(w.plan.User)
	if !ok {
		return "", plainError{fmt.Errorf("user ID %q cannot be a key of table %s", w.plan.User, w.shape.users.table())}
	}
	if w.plan.Row == symbolon.DeleteRow {
		return w.deleteRow(ctx, key)
	}
	cells := w.shape.anonymised(w.plan.Row, w.plan.User)
	if len(cells) > 0 {
		cells = append(cells, w.shape.touches(w.now)...)
	}
	left, err := w.writeOneByOne(ctx, user, cells)
	if err != nil {
		return "", err
	}
	var words []string
	for _, l := range left {
		words = append(words, fmt.Sprintf("column %s of user %s could not be emptied: %s", l.column, w.plan.User, l.why))
	}
	if w.plan.Row == symbolon.AnonymiseRow && len(left) == 0 && !w.shape.users.one() {
		if _, err := w.db.exec(ctx, clearIdentity, key, string(w.q.Reading.Identity.ID)); err != nil {
			return "", err
		}
		w.wrote = true
	}
	return strings.Join(words, "; "), nil
}

// followed reports whether the policy was applied to a kept row before. Such a row is not
// changed again, because it may be in use again.
func (w *writer) followed(ctx context.Context) (bool, error) {
	stays := w.plan.Row == symbolon.KeepRow || w.plan.Row == symbolon.DeactivateRow
	if !stays || w.before.State != w.plan.State {
		return false, nil
	}
	open, err := findings(ctx, w.db, w.q.Project, w.q.Reading.Identity.ID)
	refused := slices.ContainsFunc(open, func(f symbolon.Finding) bool { return f.Kind == symbolon.RowKept })
	return !refused, err
}

func (w *writer) deleteRow(ctx context.Context, key any) (refused string, err error) {
	refusal, err := w.try(ctx, func() error {
		id := w.q.Reading.Identity.ID
		return w.changeRow(ctx, key, []symbolon.IdentityID{id}, deleteRow, key, string(id))
	})
	if err != nil {
		return "", err
	}
	if refusal != nil {
		return fmt.Sprintf("the row of user %s could not be deleted: %s", w.plan.User, w.store.Dialect.describe(refusal)), nil
	}
	w.wrote = true
	return "", nil
}

// anonymised returns the values for the row of a user whose identity is gone.
func (t *shape) anonymised(policy symbolon.RowPolicy, user symbolon.UserID) (cells []cell) {
	empty := t.users.ReleaseColumns
	if policy == symbolon.AnonymiseRow {
		empty = append(slices.Clone(empty), t.personal()...)
	}
	for _, f := range t.columns {
		if f.Path == "active" && policy != symbolon.KeepRow {
			cells = append(cells, t.cell(f, symbolon.Identity{State: symbolon.Inactive}))
		}
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(empty))) {
		cells = append(cells, t.emptied(name, user))
	}
	return cells
}

// personal returns the columns that anonymising empties. If AnonymiseColumns is set, the
// result is AnonymiseColumns and the columns that are filled from traits, a verified address or
// the sign-up form. If AnonymiseColumns is empty, the result is all columns that are filled from
// the identity, except from active, created_at and schema_id.
func (t *shape) personal() (names []string) {
	names = slices.Clone(t.users.AnonymiseColumns)
	for _, f := range t.columns {
		if slices.ContainsFunc(f.Paths(), func(path string) bool {
			return !slices.Contains(impersonal, path) && (len(t.users.AnonymiseColumns) == 0 || personalPath(path))
		}) {
			names = append(names, f.name)
		}
	}
	return names
}

// impersonal are the paths that say nothing about a person.
var impersonal = []string{"active", "created_at", "schema_id"}

// personalPath reports whether a path leads to a person's data whatever the schema is.
func personalPath(path string) bool {
	return strings.HasPrefix(path, "traits.") || strings.HasPrefix(path, "verified_") || strings.HasPrefix(path, "transient_payload.")
}

// emptied returns the value of an emptied column: null, or a replacement if the column is
// NOT NULL. For a text the replacement is unique.
func (t *shape) emptied(name string, user symbolon.UserID) cell {
	c := cell{filled: filled{column: t.others[name]}}
	switch {
	case c.name == "":
		c.name, c.unfit = name, unfitMissing
	case c.generated:
		c.unfit = unfitGenerated
	case !c.notNull:
	case c.kind == text || c.kind == other:
		c.raw = "gone-" + string(user)
	case c.kind == boolean:
		c.raw = "false"
	case c.kind == jsonDoc, c.kind == array:
		c.raw = "{}"
	case c.kind == instant:
		c.raw = c.time(t.dialect, time.Unix(0, 0))
	default:
		c.raw = "0"
	}
	if c.raw != "" {
		c.param = c.raw
		if t.dialect == SQLite && c.kind == boolean {
			c.param = false
		}
	}
	return c
}

// releaseGone ends the entry of an identity that is proved gone, because another identity
// takes over its user.
func (w *writer) releaseGone(ctx context.Context, loser symbolon.IdentityID, user symbolon.UserID) error {
	if loser != w.plan.Release {
		return errTaken // the identity that is proved gone no longer has the user
	}
	if err := w.db.change(ctx, goneAway, w.q.Project, string(loser), string(user), string(w.q.Reading.Source), moment{w.now}); err != nil {
		return err
	}
	w.event(symbolon.Event{Kind: symbolon.IdentityGone, Identity: loser, Before: user,
		Detail: fmt.Sprintf("its user went to identity %s: %s", w.q.Reading.Identity.ID, w.plan.Why)})
	return nil
}
