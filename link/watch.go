package link

import (
	"sync"

	"github.com/symbolon-id/symbolon"
)

// watchers are notified of identities about which earlier answers are wrong by now.
type watchers struct {
	mu   sync.Mutex // protects next and byID, and is held while the functions run
	next int
	byID map[int]func(symbolon.IdentityID)
}

// Watch calls f for an identity after each commit of this Linker that makes earlier answers
// about it wrong: its user was replaced, taken away or denied, or Ory has deactivated the
// identity. It also calls f if it is not known whether such a commit succeeded. Use it to
// make a cache forget the identity; session.Verifier does so by itself.
//
// f must be quick and must not call the Linker. stop ends the calls.
func (l *Linker) Watch(f func(symbolon.IdentityID)) (stop func()) {
	w := &l.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = map[int]func(symbolon.IdentityID){}
	}
	w.next++
	n := w.next
	w.byID[n] = f
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byID, n)
	}
}

func (w *watchers) notify(id symbolon.IdentityID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.byID {
		f(id)
	}
}

// notifyOutcome notifies the watchers of each identity whose answer the outcome changed.
func (w *watchers) notifyOutcome(r symbolon.Reading, out symbolon.Outcome) {
	if changesAnswer(r, out) {
		w.notify(r.Identity.ID)
	}
	if out.Plan.Release != "" {
		w.notify(out.Plan.Release)
	}
}

// changesAnswer reports whether an earlier answer about the identity may now be wrong. A first
// bond makes no answer wrong, because there was none before it.
func changesAnswer(r symbolon.Reading, out symbolon.Outcome) bool {
	switch out.Plan.Action {
	case symbolon.Hold, symbolon.Deny:
		return len(out.Opened) > 0
	case symbolon.End, symbolon.Detach:
		return true
	case symbolon.Update:
		return r.Identity.State == symbolon.Inactive // Ory accepts none of its sessions any more; a cache might
	case symbolon.Create, symbolon.Attach:
		return out.Plan.Retire != "" || out.Plan.Revive || out.Plan.Also || out.New && (r.Source == symbolon.FromOperator || r.Source == symbolon.FromAdopt)
	}
	return false
}
