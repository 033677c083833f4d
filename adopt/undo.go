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
// history. It refuses the link of a person who has signed in since, or whose older session
// the server has seen since, because the person may rely on the link. It also refuses a link
// that something else has changed since. The report names these people. Undo may be called
// again.
//
// Without [Adopter.Seen], Undo cannot see the use of a session that is older than the link.
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
	if err := r.readSeen(ctx, last); err != nil {
		return err
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
	sessions, err := paced(ctx, func(ctx context.Context) ([]symbolon.Session, error) { return r.Sessions(ctx, made.Identity) })
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return "", nil // the identity is gone and cannot sign in
	case err != nil:
		return "", fmt.Errorf("ask Ory for the sessions of identity %s: %w", made.Identity, err)
	}
	for _, s := range sessions {
		if s.AuthenticatedAt.After(made.At) {
			return "the person signed in since", nil
		}
	}
	if r.Seen == nil || r.options.DespiteSessions {
		return "", nil
	}
	return r.seen.since(sessions, made.At), nil
}

// OlderSession is a part of Refusal.Why if Undo refuses a link because of an older session.
// With [Options.DespiteSessions] Undo does not refuse such a link.
const OlderSession = "a session of the person from before the link"

// seenSessions are the sessions that the server has seen.
type seenSessions struct {
	day  func(session string) int64 // the last day on which a session was seen, or 0
	from int64                      // the first day that is known completely
}

// readSeen reads the sessions that the server has seen since the oldest link.
func (r *run) readSeen(ctx context.Context, last map[symbolon.IdentityID]symbolon.Event) (err error) {
	if r.Seen == nil || r.options.DespiteSessions {
		return nil
	}
	since := r.now()
	for _, made := range last {
		if made.At.Before(since) {
			since = made.At
		}
	}
	r.seen.day, r.seen.from, err = r.Seen(ctx, since)
	return err
}

// since says whether a session from before a link may have been used after it. On the day of
// the link nobody knows the order, so the answer is yes.
func (s seenSessions) since(sessions []symbolon.Session, linked time.Time) string {
	day := linked.Unix() / (24 * 60 * 60)
	for _, one := range sessions {
		if !one.ExpiresAt.After(linked) {
			continue
		}
		if s.day(one.ID) >= day {
			return "the server has seen " + OlderSession + ", on the day of the link or later"
		}
		if day < s.from {
			return "the server may have seen " + OlderSession + ", because it remembers what it has seen for two days only"
		}
	}
	return ""
}
