package erase_test

import (
	"context"
	"errors"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// vagueRecord gives no answer when a step is to be recorded, and has carried it out or
// not.
type vagueRecord struct {
	erase.Record
	to   symbolon.ErasureStep
	done bool
}

func (v *vagueRecord) SaveErasure(ctx context.Context, e symbolon.Erasure, from symbolon.ErasureStep) (bool, error) {
	if e.Step != v.to {
		return v.Record.SaveErasure(ctx, e, from)
	}
	if v.done {
		if _, err := v.Record.SaveErasure(ctx, e, from); err != nil {
			return false, err
		}
	}
	return false, symbolon.ErrUnavailable
}

// TestNotRecorded: a step that could not be recorded has not been done as far as anybody
// is told, the last one above all; whoever comes next ends it.
func TestNotRecorded(t *testing.T) {
	w := newWorld(t, sqlstore.SQLite, sqlstore.Users{})
	from := symbolon.EraseSessions // Begin denies
	for _, to := range []symbolon.ErasureStep{symbolon.EraseIdentity, symbolon.EraseRow, symbolon.EraseScrub, symbolon.EraseDone} {
		for _, done := range []bool{false, true} {
			_, user := w.linked()
			begun, err := w.erasures.Begin(t.Context(), erase.Request{ID: string(user)})
			w.must(err)
			w.erasures.Record = &vagueRecord{w.store, to, done}
			e, err := w.erasures.Run(t.Context(), begun.ID)
			if !errors.Is(err, symbolon.ErrUnavailable) || e.ID != begun.ID || e.Step != from || e.Done() {
				t.Errorf("to %s, carried out: %t: it is told that it is at %s, done %t, %v", to, done, e.Step, e.Done(), err)
			}
			w.erasures.Record = w.store
			e, err = w.erasures.Run(t.Context(), begun.ID)
			w.must(err)
			w.complete(e)
		}
		from = to
	}
}
