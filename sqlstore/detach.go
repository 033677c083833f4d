package sqlstore

import (
	"context"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

const dropEntry = `delete from symbolon.links where project = $1 and identity_id = $2`

// detach ends a bond as if it had not been: the entry goes, or is on hold as before.
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
		if _, err := w.db.exec(ctx, dropEntry, w.q.Project, string(id)); err != nil {
			return err
		}
		w.before, w.entry = bare, bare // nothing is left to be saved
	}
	if !w.plan.Clear {
		return nil
	}
	n, err := w.db.exec(ctx, clearIdentity, key, string(id))
	if err == nil && n == 0 {
		return errTaken
	}
	w.wrote = true
	return err
}
