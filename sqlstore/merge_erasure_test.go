package sqlstore_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// TestOrdersDuringAnErasure gives orders about two users while one of them is being erased. The
// erasure has listed the identities that it ends, so every order is refused until it is done.
func TestOrdersDuringAnErasure(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		c := newCouple(t, create(t, db, "extra text", nil))
		third := identityWith(`{}`)
		others := maps.Clone(c.linker.Ory.(identities))
		others[third.ID] = third
		c.linker.Ory = others
		during := func(what string, order func() error) {
			t.Helper()
			for _, user := range []symbolon.UserID{c.from, c.into} {
				e, err := c.store.OpenErasure(t.Context(), symbolon.Erasure{ID: newUUID(), Project: symbolon.DefaultProject, User: user,
					Row: symbolon.DeleteRow, Step: "deny", RequestedAt: time.Now()})
				if err != nil {
					t.Fatal(err)
				}
				if err := order(); !errors.Is(err, symbolon.ErrConflict) || !strings.Contains(err.Error(), "being erased") {
					t.Errorf("%s, while %s is being erased: %v", what, user, err)
				}
				from := e.Step
				e.Step, e.DoneAt = symbolon.EraseDone, time.Now()
				if saved, err := c.store.SaveErasure(t.Context(), e, from); err != nil || !saved {
					t.Fatal(saved, err)
				}
			}
			if err := order(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		also := func(user symbolon.UserID) error {
			_, err := c.linker.Bind(t.Context(), third.ID, user, symbolon.BindOptions{Also: true, Move: true})
			return err
		}
		if err := also(c.from); err != nil {
			t.Fatal(err)
		}
		during("bind --also", func() error { return also(c.into) })
		during("merge", func() error {
			_, err := c.linker.Merge(t.Context(), c.from, c.into, link.MergeOptions{})
			return err
		})
		during("undo", func() error {
			_, err := c.linker.Unmerge(t.Context(), c.from, link.MergeOptions{})
			return err
		})
	})
}
