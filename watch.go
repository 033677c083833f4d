package symbolon

import (
	"context"
	"sync"
)

// watchers are told of bonds that changed under an answer given before.
type watchers struct {
	mu   sync.Mutex
	next int
	byID map[int]func(IdentityID)
}

// Watch calls f after each commit of this Linker that makes an earlier answer about
// an identity wrong, and where it is not known whether there was one: its user was replaced, taken away, or must not be handed out
// any more, or Ory has deactivated it. Caches forget the identity then; session.Verifier does so by itself. f
// must be quick and must not call the Linker. stop ends it.
func (l *Linker) Watch(f func(IdentityID)) (stop func()) {
	w := &l.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = map[int]func(IdentityID){}
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

func (w *watchers) tell(id IdentityID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.byID {
		f(id)
	}
}

// commit has the store carry out a decision. One that breaks off in the middle may have
// done so: whoever asks again then finds nothing to do, so that watchers are told now.
func (l *Linker) commit(ctx context.Context, q Query, decide func(Held) (Plan, error)) (Outcome, error) {
	var plan Plan
	out, err := l.Store.Write(ctx, q, func(h Held) (p Plan, err error) {
		if p, err = decide(h); err == nil {
			plan = p
		}
		return p, err
	})
	if err == nil {
		return out, nil
	}
	if changed(q.Seen, Outcome{Plan: plan, New: true, Opened: []Finding{{}}}) {
		l.watchers.tell(q.Seen.Identity.ID)
	}
	if plan.Release != "" {
		l.watchers.tell(plan.Release)
	}
	return out, err
}

// changed reports whether somebody may have been given another answer before. A
// first bond is none: nobody was given anything.
func changed(seen Seen, out Outcome) bool {
	switch out.Plan.Action {
	case Hold, Deny:
		return len(out.Opened) > 0
	case Bury, Detach:
		return true
	case Update:
		return seen.Identity.State == Inactive // nobody asks Ory for that with a session
	case Create, Attach:
		return out.Plan.Retire != "" || out.New && (seen.Way == ByOperator || seen.Way == ByAdopt)
	}
	return false
}
