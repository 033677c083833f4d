package erase_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// mute carries out every write, and gives no answer to some of them.
type mute struct {
	*sqlstore.Store
	calls int
	gives func(call int) bool // whether a call gets an answer
}

var errMute = fmt.Errorf("the connection broke off: %w", symbolon.ErrUnavailable)

func (m *mute) answer(err error) error {
	m.calls++
	if err == nil && m.gives != nil && !m.gives(m.calls-1) {
		return errMute
	}
	return err
}

func (m *mute) Write(ctx context.Context, q symbolon.Query, decide func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	out, err := m.Store.Write(ctx, q, decide)
	if err = m.answer(err); err != nil {
		return symbolon.Outcome{}, err
	}
	return out, nil
}

func (m *mute) OpenErasure(ctx context.Context, e symbolon.Erasure) (symbolon.Erasure, error) {
	out, err := m.Store.OpenErasure(ctx, e)
	if err = m.answer(err); err != nil {
		return symbolon.Erasure{}, err
	}
	return out, nil
}

func (m *mute) SaveErasure(ctx context.Context, e symbolon.Erasure, from symbolon.ErasureStep) (bool, error) {
	saved, err := m.Store.SaveErasure(ctx, e, from)
	err = m.answer(err)
	return saved && err == nil, err
}

func (m *mute) EraseUser(ctx context.Context, project string, user symbolon.UserID, identity symbolon.IdentityID, row symbolon.RowPolicy, why string) (string, error) {
	refused, err := m.Store.EraseUser(ctx, project, user, identity, row, why)
	return refused, m.answer(err)
}

func (m *mute) Scrub(ctx context.Context, project string, identity symbolon.IdentityID, users ...symbolon.UserID) (map[string]int, error) {
	counts, err := m.Store.Scrub(ctx, project, identity, users...)
	return counts, m.answer(err)
}

// mute gives the world a store that does not answer some writes. Only the test writes.
func (w *world) mute() *mute {
	m := &mute{Store: w.store}
	w.linker.BackReference.Write = link.WriteNone
	w.linker.Store, w.erasures.Record, w.erasures.Users = m, m, m
	return m
}

// insist calls f again while it returns "don't know".
func insist(f func() error) (err error) {
	for range 10 {
		if err = f(); !errors.Is(err, symbolon.ErrUnavailable) {
			break
		}
	}
	return err
}

// TestEraseUnanswered loses the answer to one write, in the store or at Ory. The same
// process completes the erasure, and each step is recorded once.
func TestEraseUnanswered(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		m, at := w.mute(), 0
		one := func() {
			p, user := w.linked()
			known, err := w.client.Identity(w.Context(), symbolon.IdentityID(p.IdentityID))
			w.must(err)
			m.calls, m.gives = 0, func(call int) bool { return call != at }
			var e symbolon.Erasure
			w.must(insist(func() (err error) {
				e, err = w.erasures.Begin(w.Context(), erase.Request{ID: string(user)})
				return err
			}))
			w.must(insist(func() (err error) {
				e, err = w.erasures.Run(w.Context(), e.ID)
				return err
			}))
			w.complete(e)
			for _, n := range e.Evidence {
				if n.Step == erase.StepScrub && n.Counts["events"] == 0 {
					w.Errorf("call %d: the evidence says that nothing was cleared: %v", at, n.Counts)
				}
			}
			m.gives = nil
			w.barred(known)
			w.traceless(p.Email)
			if w.atOry(p.IdentityID) {
				w.Error("Ory still has the identity")
			}
		}
		for at = 0; ; at++ {
			one()
			if m.calls < at {
				break
			}
		}
		if at < 8 {
			t.Errorf("only %d writes", at)
		}
		for _, route := range []fakeory.Route{"DELETE /admin/identities/*", "DELETE /admin/identities/*/sessions"} {
			repair := w.ory.Break(fakeory.Dropped{Times: 1, Route: route, After: true})
			one()
			repair()
		}
	})
}

// TestBeginUnanswered records an intent without an answer. A second Begin finds it, and
// the person is denied when the call returns.
func TestBeginUnanswered(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		m := w.mute()
		_, user := w.linked()
		request := erase.Request{ID: string(user), Why: "ticket 8812"}

		m.calls, m.gives = 0, func(call int) bool { return call != 0 }
		once, err := w.erasures.Begin(w.Context(), request)
		if err != nil || once.Step != erase.StepSessions {
			t.Errorf("one answer is lost: %+v, %v", once, err)
		}

		p, user := w.linked()
		request.ID = string(user)
		m.calls, m.gives = 0, func(int) bool { return false }
		if _, err := w.erasures.Begin(w.Context(), request); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("all answers are lost: %v", err)
		}
		m.gives = nil
		if state := w.state(p.IdentityID); state != symbolon.Linked {
			t.Errorf("the ledger says %s", state)
		}
		again, err := w.erasures.Begin(w.Context(), request)
		if err != nil || again.Step != erase.StepSessions || again.Why != request.Why || w.state(p.IdentityID) != symbolon.Erased {
			t.Errorf("called again: %+v, %v; the ledger says %s", again, err, w.state(p.IdentityID))
		}
		list, err := w.erasures.Unfinished(w.Context())
		if err != nil || len(list) != 2 {
			t.Errorf("unfinished: %+v, %v", list, err)
		}
	})
}

// vagueRecord gives no answer when a step is recorded, whether it was recorded or not.
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

// TestNotRecorded checks that a step that was not recorded is not reported as done, not
// even the last one. The next call completes the erasure.
func TestNotRecorded(t *testing.T) {
	w := newWorld(t, sqlstore.SQLite, sqlstore.Users{})
	from := erase.StepSessions // Begin denies
	for _, to := range []symbolon.ErasureStep{erase.StepIdentity, erase.StepRow, erase.StepScrub, symbolon.EraseDone} {
		for _, done := range []bool{false, true} {
			_, user := w.linked()
			begun, err := w.erasures.Begin(t.Context(), erase.Request{ID: string(user)})
			w.must(err)
			w.erasures.Record = &vagueRecord{w.store, to, done}
			e, err := w.erasures.Run(t.Context(), begun.ID)
			if !errors.Is(err, symbolon.ErrUnavailable) || e.ID != begun.ID || e.Step != from || e.Done() {
				t.Errorf("to %s, carried out: %t: the caller is told that the erasure is at %s, done %t, %v", to, done, e.Step, e.Done(), err)
			}
			w.erasures.Record = w.store
			e, err = w.erasures.Run(t.Context(), begun.ID)
			w.must(err)
			w.complete(e)
		}
		from = to
	}
}
