package library

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// Operations of the application and of the operator.

// refreshed is the application's word to the product that it has changed a row, as
// POST /admin/users/{id}/refresh gives it.
func (h *history) refreshed(u *appUser) {
	p := u.owner
	if p == nil || !rapid.Bool().Draw(h.T, "refresh") {
		return
	}
	h.auth.Purge(p.id)
	p.purge()
	h.note("refreshed")
}

func denies(h *history) bool {
	u := h.someUser(func(u *appUser) bool { return u.row && !u.emptied })
	if u == nil {
		return false
	}
	if rapid.Bool().Draw(h.T, "for good") {
		u.deleted = true
		h.exec(`update `+h.table+` set deleted_at = $1 where id = $2`, time.Now().UTC(), string(u.id))
	} else {
		u.suspended = true
		h.exec(`update `+h.table+` set suspended = true where id = $1`, string(u.id))
	}
	h.note("user %s, %s", u.id, u.denied())
	h.refreshed(u)
	return true
}

func allows(h *history) bool {
	u := h.someUser(func(u *appUser) bool { return u.row && u.denied() != "" })
	if u == nil {
		return false
	}
	u.deleted, u.suspended = false, false
	h.exec(`update `+h.table+` set suspended = false, deleted_at = null where id = $1`, string(u.id))
	h.note("user %s", u.id)
	h.refreshed(u)
	return true
}

// forgets deletes a row by the library or by the call for applications without Go.
func forgets(h *history) bool {
	u := h.someUser(hasRow)
	if u == nil {
		return false
	}
	p := u.owner
	if rapid.Bool().Draw(h.T, "half") {
		h.must(h.store.ForgetUser(h.ctx(), symbolon.DefaultProject, u.id))
		h.exec(`delete from `+h.table+` where id = $1`, string(u.id))
	} else {
		h.must(h.store.InTx(h.ctx(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(h.ctx(), `delete from `+h.table+` where id = $1`, string(u.id))
			return errors.Join(h.linker.Forget(h.ctx(), tx, u.id), err)
		}))
	}
	if p != nil {
		h.auth.Purge(p.id)
	}
	h.note("user %s", u.id)
	h.truth.forget(u, true)
	return true
}

func deletes(h *history) bool {
	u := h.someUser(hasRow)
	if u == nil {
		return false
	}
	h.exec(`delete from `+h.table+` where id = $1`, string(u.id))
	h.note("user %s", u.id)
	h.truth.forget(u, false)
	return true
}

// refusal is the code of an order's error.
func refusal(err error) string {
	if err == nil {
		return ""
	}
	return string(answer.Of(err).Code)
}

func binds(h *history) bool {
	p := h.somebody(func(*person) bool { return true })
	u := h.someUser(func(*appUser) bool { return true })
	if p == nil || u == nil {
		return false
	}
	move := rapid.Bool().Draw(h.T, "move")
	h.note("%s to user %s, move %t", p.name, u.id, move)
	link, err := h.linker.Bind(h.ctx(), p.id, u.id, symbolon.BindOptions{Move: move})
	got := refusal(err)
	if denied := (*symbolon.DenyError)(nil); errors.As(err, &denied) && errors.Is(err, symbolon.ErrDenied) {
		got = ""
	}
	if want := h.truth.bind(p, u, move); got != want {
		h.wrong("the order was refused with %q (%v), and the model says %q", got, err, want)
	}
	if err == nil && link.User != u.id {
		h.wrong("the order bound user %s", link.User)
	}
	return true
}

func ordersNew(h *history) bool {
	p := h.somebody(func(p *person) bool { return !p.hasRow() })
	if p == nil {
		return false
	}
	h.note("for %s", p.name)
	_, err := h.linker.BindNew(h.ctx(), p.id, "")
	if got, want := refusal(err), h.truth.bindNew(p); got != want {
		h.wrong("the order was refused with %q (%v), and the model says %q", got, err, want)
	}
	return true
}

func erases(h *history) bool {
	p := h.somebody(func(p *person) bool {
		return (p.atOry || p.bond != unread) && (p.bond != linked || !p.user.freed) // with a doubt about its user nobody is erased
	})
	if p == nil {
		return false
	}
	h.note("%s", p.name)
	h.truth.erase(p, h.erase(string(p.id)))
	return true
}

// erasesUser erases by the user's ID. The person who has or had the user last is erased with it.
func erasesUser(h *history) bool {
	u := h.someUser(func(u *appUser) bool { return u.row && !u.freed })
	if u == nil {
		return false
	}
	h.note("user %s", u.id)
	policy := h.erase(string(u.id))
	for _, p := range h.truth.people {
		if p.user == u || u.owner == p {
			h.truth.erase(p, policy)
			return true
		}
	}
	u.end(policy)
	return true
}

func (h *history) erase(id string) symbolon.RowPolicy {
	begun, err := h.erasures.Begin(h.ctx(), erase.Request{ID: id})
	h.must(err)
	done, err := h.erasures.Run(h.ctx(), begun.ID)
	h.must(err)
	return done.Row
}

func compares(h *history) bool {
	rebind := rapid.Bool().Draw(h.T, "rebind")
	h.note("rebind %t", rebind)
	h.pass(rebind)
	return true
}

func compacts(h *history) bool {
	_, err := h.store.Compact(h.ctx(), symbolon.DefaultProject, time.Now().Add(time.Hour))
	h.must(err)
	return true
}

func restarts(h *history) bool {
	h.start()
	return true
}

func (h *history) exec(text string, args ...any) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.ctx(), patience)
	defer cancel()
	_, err := h.app.db.ExecContext(ctx, text, args...)
	h.must(err)
}
