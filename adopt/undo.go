package adopt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symbolon-id/symbolon"
)

// ErrNoRun: the history has no run with this name.
var ErrNoRun = errors.New("there is no such run")

// Undo undoes the links that a run made, one by one. If the run set the identity column,
// Undo sets it to null again. Undo restores the ledger, and records these changes in the
// history. It refuses the link of a person who has signed in since, because the person may
// rely on the link. It also refuses a link that something else has changed since. The
// report names these people. Undo may be called again.
//
// Undo cannot see the use of a session that is older than the link. To be sure, revoke the
// sessions first.
//
// Errors: ErrNoRun; symbolon.ErrNoAdmin; ErrUnavailable if an outage interrupted some of
// the links.
func (a *Adopter) Undo(ctx context.Context, name string, o Options) (Report, error) {
	r := &run{Adopter: a, options: o, report: Report{Run: name}}
	err := r.undo(ctx)
	if err != nil {
		err = fmt.Errorf("undo run %s: %w", name, err)
	}
	return r.report, err
}

func (r *run) undo(ctx context.Context) error {
	if !r.Linker.Ory.HasAdmin() {
		return symbolon.ErrNoAdmin
	}
	last, order, err := r.lastOf(ctx)
	if err != nil {
		return err
	}
	if len(order) == 0 {
		return ErrNoRun
	}
	m := r.meter(r.options, Undoing, len(order))
	for _, id := range order {
		if err := r.undoOne(ctx, last[id]); err != nil {
			return err
		}
		m.step(1)
	}
	return r.failure
}

// lastOf finds the run's last event for each identity, in the order of the links.
func (r *run) lastOf(ctx context.Context) (last map[symbolon.IdentityID]symbolon.Event, order []symbolon.IdentityID, err error) {
	last = map[symbolon.IdentityID]symbolon.Event{}
	for after := int64(0); ; {
		events, err := r.Ledger.AdoptEvents(ctx, r.project(), r.report.Run, after, page)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range events {
			if e.Kind != symbolon.UserLinked && e.Kind != symbolon.UserUnlinked {
				continue // a finding that was opened or closed in the same transaction
			}
			if _, seen := last[e.Identity]; !seen {
				order = append(order, e.Identity)
			}
			last[e.Identity] = e
		}
		if len(events) < page {
			return last, order, nil
		}
		after = events[len(events)-1].ID
	}
}

func (r *run) undoOne(ctx context.Context, made symbolon.Event) error {
	if made.Kind == symbolon.UserUnlinked {
		r.report.Before++
		return nil
	}
	why, err := r.usedSince(ctx, made)
	if why != "" {
		return r.refuse(made.Identity, made.User, why)
	}
	undone := false
	if err == nil {
		undone, err = r.Linker.Unadopt(ctx, r.report.Run, made)
	}
	return r.countResult(ctx, made.Identity, made.User, undone, err)
}

// usedSince says how the link was used or changed since it was made. It returns "" if it
// was not.
func (r *run) usedSince(ctx context.Context, made symbolon.Event) (string, error) {
	record, err := r.Linker.Record(ctx, string(made.Identity))
	if err != nil && !errors.Is(err, symbolon.ErrNotFound) {
		return "", err
	}
	since := slices.IndexFunc(record.Events, func(e symbolon.Event) bool { return e.ID > made.ID && e.Source != symbolon.FromAdopt })
	if since >= 0 {
		e := record.Events[since]
		return fmt.Sprintf("since then: %s by %s", e.Kind, cmp.Or(e.Source, "the application")), nil
	}
	at, err := paced(ctx, func(ctx context.Context) (time.Time, error) { return r.LastSignIn(ctx, made.Identity) })
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return "", nil // the identity is gone and cannot sign in
	case err != nil:
		return "", fmt.Errorf("ask Ory when identity %s signed in: %w", made.Identity, err)
	case at.After(made.At):
		return "the person signed in since", nil
	}
	return "", nil
}
