package sqlstore

import (
	"context"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// detach undoes a link. It deletes the entry. If the plan has a reason, the entry is on hold
// again instead, as it was before the link.
func (w *writer) detach(ctx context.Context) error {
	user, key, ok := w.shape.key(w.plan.User)
	if !ok || w.before.State != symbolon.Linked || w.before.User != user {
		return plainError{fmt.Errorf("the plan detaches user %q, whom the identity does not have", w.plan.User)}
	}
	id := w.before.Identity
	bare := entry{Link: symbolon.Link{Project: w.before.Project, Identity: id}}
	w.event(symbolon.Event{Kind: symbolon.UserUnlinked, Before: user, Detail: w.plan.Why})
	if w.plan.Reason != "" {
		w.entry = bare
		if err := w.hold(); err != nil {
			return err
		}
	} else {
		if _, err := w.db.exec(ctx, deleteEntry, w.q.Project, string(id)); err != nil {
			return err
		}
		w.before, w.entry = bare, bare // there is nothing to save
	}
	if !w.plan.Clear {
		return nil
	}
	w.wrote = true
	return w.changeRow(ctx, key, []symbolon.IdentityID{id}, clearIdentity, key, string(id))
}
