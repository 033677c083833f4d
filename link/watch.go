package link

import (
	"sync"

	"github.com/symbolon-id/symbolon"
)

// watchers are told of bonds that changed under an answer given before.
type watchers struct {
	mu   sync.Mutex
	next int
	byID map[int]func(symbolon.IdentityID)
}

// Watch calls f after each commit of this Linker that makes an earlier answer about
// an identity wrong: its user was replaced, taken away, or must not be handed out
// any more, or Ory has deactivated it; and where nobody knows whether there was such a
// commit. Caches forget the identity then; session.Verifier does so by itself. f
// must be quick and must not call the Linker. stop ends it.
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

func (w *watchers) tell(id symbolon.IdentityID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.byID {
		f(id)
	}
}

// tellOf tells of what a decision changed.
func (w *watchers) tellOf(seen symbolon.Reading, out symbolon.Outcome) {
	if changed(seen, out) {
		w.tell(seen.Identity.ID)
	}
	if out.Plan.Release != "" {
		w.tell(out.Plan.Release)
	}
}

// changed reports whether somebody may have been given another answer before. A
// first bond is none: nobody was given anything.
func changed(seen symbolon.Reading, out symbolon.Outcome) bool {
	switch out.Plan.Action {
	case symbolon.Hold, symbolon.Deny:
		return len(out.Opened) > 0
	case symbolon.End, symbolon.Detach:
		return true
	case symbolon.Update:
		return seen.Identity.State == symbolon.Inactive // nobody asks Ory for that with a session
	case symbolon.Create, symbolon.Attach:
		return out.Plan.Retire != "" || out.New && (seen.Source == symbolon.FromOperator || seen.Source == symbolon.FromAdopt)
	}
	return false
}
