package sqlstore_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// couple is two people and a store whose linker can read them at Ory.
type couple struct {
	*people
	store        *sqlstore.Store
	linker       *link.Linker
	first, other symbolon.Identity
	into, from   symbolon.UserID
}

func newCouple(t *testing.T, p *people) *couple {
	t.Helper()
	c := &couple{people: p, store: p.store(p.DB), first: identityWith(`{}`), other: identityWith(`{}`)}
	c.linker = linkerOf(c.store)
	c.linker.Ory = identities{c.first.ID: c.first, c.other.ID: c.other}
	for id, user := range map[*symbolon.Identity]*symbolon.UserID{&c.first: &c.into, &c.other: &c.from} {
		bond, err := c.linker.Link(t.Context(), symbolon.Reading{Identity: *id})
		if err != nil {
			t.Fatal(err)
		}
		*user = bond.User
	}
	return c
}

// signsIn returns the user as whom an identity signs in; "-" if it is denied.
func (c *couple) signsIn(t *testing.T, id symbolon.Identity) symbolon.UserID {
	t.Helper()
	bond, err := c.linker.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
	if _, denied := errors.AsType[*symbolon.DenyError](err); denied {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return bond.User
}

// TestOnMerge moves the application's data in the transaction of a merge, and back again in the
// transaction of its undo. If the application cannot, nothing is merged or undone.
func TestOnMerge(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		c := newCouple(t, create(t, db, "active boolean, extra text", map[string]string{"active": "active"}))
		c.must(t, `create table notes (user_id text, note text)`)
		c.must(t, `insert into notes values ('`+string(c.from)+`', 'a'), ('`+string(c.into)+`', 'b')`)
		fails := errors.New("the application says no")
		var answer error
		give := func(ctx context.Context, tx *sqlstore.Tx, from, to symbolon.UserID) error {
			if _, err := tx.SQL().ExecContext(ctx, `update notes set user_id = $1 where user_id = $2 and note = 'a'`, string(to), string(from)); err != nil {
				return err
			}
			return answer
		}
		c.store.OnMerge = give
		notes := func(user symbolon.UserID) int {
			return c.count(t, `select count(*) from notes where user_id = $1`, string(user))
		}
		active := func(user symbolon.UserID) int {
			return c.count(t, c.sql(`select count(*) from {users} where cast(id as text) = $1 and active`), string(user))
		}
		state := func(what string, second symbolon.UserID, moved, isActive int) {
			t.Helper()
			if got := c.signsIn(t, c.other); got != second || notes(c.into) != moved || active(c.from) != isActive || active(c.into) != 1 {
				t.Errorf("%s: signs in as %s, %d notes, active: %d", what, got, notes(c.into), active(c.from))
			}
		}
		answer = fails
		if _, err := c.linker.Merge(t.Context(), c.from, c.into, link.MergeOptions{}); !errors.Is(err, fails) {
			t.Errorf("the merge: %v", err)
		}
		state("refused by the application", c.from, 1, 1)
		answer = nil
		for range 2 {
			if _, err := c.linker.Merge(t.Context(), c.from, c.into, link.MergeOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		state("merged", c.into, 2, 0)
		if _, err := c.linker.Unmerge(t.Context(), c.from, link.MergeOptions{}); !errors.Is(err, symbolon.ErrConflict) {
			t.Errorf("undone without OnUnmerge: %v", err)
		}
		state("not undone", c.into, 2, 0)
		c.store.OnUnmerge = func(ctx context.Context, tx *sqlstore.Tx, from, into symbolon.UserID) error {
			return give(ctx, tx, into, from)
		}
		answer = fails
		if _, err := c.linker.Unmerge(t.Context(), c.from, link.MergeOptions{}); !errors.Is(err, fails) {
			t.Errorf("the undo: %v", err)
		}
		state("the undo was refused", c.into, 2, 0)
		answer = nil
		if _, err := c.linker.Unmerge(t.Context(), c.from, link.MergeOptions{}); err != nil {
			t.Fatal(err)
		}
		state("undone", c.from, 1, 1)
	})
}

// TestMergeDenied checks that a denied user can be no side of a merge and gets no further
// identity, and that the condition of a user applies to its further identities.
func TestMergeDenied(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		c := newCouple(t, denying(t, db, "suspended boolean", map[string]string{"user_suspended": "suspended"}))
		third := identityWith(`{}`)
		others := maps.Clone(c.linker.Ory.(identities))
		others[third.ID] = third
		c.linker.Ory = others
		suspend := func(user symbolon.UserID, is string) {
			c.must(t, c.sql(`update {users} set suspended = `+is+` where cast(id as text) = '`+string(user)+`'`))
		}
		for _, side := range []symbolon.UserID{c.from, c.into} {
			suspend(side, "true")
			_, merged := c.linker.Merge(t.Context(), c.from, c.into, link.MergeOptions{})
			_, bound := c.linker.Bind(t.Context(), third.ID, side, symbolon.BindOptions{Also: true})
			for _, err := range []error{merged, bound} {
				if !errors.Is(err, symbolon.ErrConflict) || !strings.Contains(err.Error(), "user_suspended") {
					t.Errorf("a suspended user: %v", err)
				}
			}
			suspend(side, "false")
		}
		if _, err := c.linker.Merge(t.Context(), c.from, c.into, link.MergeOptions{}); err != nil {
			t.Fatal(err)
		}
		suspend(c.into, "true")
		if got := code(t, c.linker, c.other, c.into); got != "user_suspended" {
			t.Errorf("the further identity of a suspended user: %s", got)
		}
		suspend(c.into, "false")
		if got := code(t, c.linker, c.other, c.into); got != "-" {
			t.Errorf("the further identity: %s", got)
		}
	})
}

// TestOlderProgramDenies checks that the version before denies a further identity, because it
// reads an entry that is held. A further identity that this version has bound again is linked,
// although it does not empty the new column.
func TestOlderProgramDenies(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		c := newCouple(t, create(t, db, "extra text", nil))
		if _, err := c.linker.Merge(t.Context(), c.from, c.into, link.MergeOptions{}); err != nil {
			t.Fatal(err)
		}
		links := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_links", sqlstore.Postgres: "symbolon.links"}[db.dialect]
		where := ` where identity_id = '` + string(c.other.ID) + `'`
		if c.count(t, `select count(*) from `+links+where+` and state = 'held' and reason = 'moved'`) != 1 {
			t.Error("the version before does not deny the identity")
		}
		// The version before gives the identity another user, and then takes this user away.
		c.must(t, `update `+links+` set user_id = '`+newUUID()+`'`+where)
		if got := c.signsIn(t, c.other); got != "-" {
			t.Errorf("an identity that was moved away signs in as %s", got)
		}
	})
}
