package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// A row can go from one identity to another. If the table then refuses a value of the new
// identity, the row must not keep the former identity's value: that value is about another
// person, and an erasure of that person would not find it.

// hadAnother reports whether a user belonged to another identity before. A link of an adoption
// that was undone is ignored, because it wrote no column.
const hadAnother = `
select exists (select 1 from symbolon.events e
where e.project = $1 and e.user_id = $2 and e.identity_id <> $3 and e.kind in ('user.linked', 'user.recreated')
and not exists (select 1 from symbolon.events n where n.project = e.project and n.before_id = e.user_id and n.id > e.id
    and n.kind = 'user.unlinked'))`

// firstWrite reports whether this identity has not yet filled every column of the row.
func (w *writer) firstWrite() bool {
	written := strings.TrimPrefix(w.entry.digest, refusedMark)
	return w.out.New || written == "" || strings.HasPrefix(written, waitingMark)
}

// emptyLeft empties the columns that could not be written, if the row belonged to another
// identity before and this is the first write for the new one. An identity that was recreated
// is the same person, so its row keeps the values.
func (w *writer) emptyLeft(ctx context.Context, user symbolon.UserID, cells []cell, left []leftOut) error {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c cell) bool {
		written := !slices.ContainsFunc(left, func(l leftOut) bool { return l.column == c.name })
		return written && (c.param != nil || !c.notNull) || c.Path == "active"
	})
	if len(cells) == 0 || !w.firstWrite() || w.plan.ReleaseGone {
		return nil
	}
	another, err := scanOne[bool](w.db.queryRow(ctx, hadAnother, w.q.Project, string(user), string(w.q.Reading.Identity.ID)))
	if err != nil || !another {
		return err
	}
	for _, c := range cells {
		empty := w.shape.emptied(c.name, user)
		if held, ok := w.shape.withPlaceholder(empty, user); ok && c.notNull {
			empty = held
		}
		if empty.unfit != "" {
			continue
		}
		if _, err := w.try(ctx, func() error { return w.set(ctx, user, []cell{empty}) }); err != nil {
			return err
		}
	}
	return nil
}
