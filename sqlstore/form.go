package sqlstore

import (
	"context"

	"github.com/symbolon-id/symbolon"
)

// Columns may be filled from the transient_payload of the sign-up form. Only the link hook has it,
// once, before or after the row is made. So these columns are not part of the digest, and a
// reading without the form leaves them alone.

// signUp reads the projected values of the sign-up form. Without a form the values are those
// with which a row is made.
func (t *shape) signUp(id symbolon.Identity) (out []cell) {
	for _, f := range t.columns {
		if f.Transient() {
			out = append(out, t.cell(f, id))
		}
	}
	return out
}

// sentForm returns the values that the sign-up form has sent. A row keeps the others, and no
// default replaces them.
func (w *writer) sentForm() (out []cell) {
	for _, f := range w.shape.columns {
		f.Literal = nil
		if c := w.shape.cell(f, w.q.Reading.Identity); f.Transient() && (c.param != nil || c.refused != "") {
			out = append(out, c)
		}
	}
	return out
}

// writeForm writes the values of the sign-up form to the row of a user who exists already. The
// form has no ticket, and the rest of its reading may be older than what was written.
func (w *writer) writeForm(ctx context.Context, user symbolon.UserID) error {
	form := w.sentForm()
	if len(form) == 0 {
		return nil
	}
	left, err := w.writeCells(ctx, user, form)
	if err != nil {
		return err
	}
	w.findLeftOut(left)
	w.event(symbolon.Event{Kind: symbolon.UserUpdated, User: user, Detail: "the values of the sign-up form"})
	return nil
}
