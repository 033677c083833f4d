package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Result is what became of one identity: what [Linker.Link] returns.
type Result struct {
	Link symbolon.Link
	Err  error
}

const (
	// bulk is how many identities CreateAll is given at once.
	bulk = 500

	// hands is how many identities LinkAll has under way at once, beyond those that a
	// BulkStore made. On SQLite they queue.
	workers = 8

	// resignation is after how many ErrUnavailable in a row LinkAll tries no more.
	maxUnavailable = 2 * workers
)

// LinkAll is [Linker.Link] for many identities, and many times as fast where most of
// them are new and the store is a [symbolon.BulkStore]: those get their users some hundred at
// a time. All that holds for Link holds for each of them. The results answer seen one
// for one; an identity may be among them more than once.
//
// Where Ory or the store does not answer, the rest is given the same ErrUnavailable
// without being tried.
func (l *Linker) LinkAll(ctx context.Context, seen []symbolon.Reading) []Result {
	l.setup()
	out := make([]Result, len(seen))
	l.linkEach(ctx, seen, out, l.createAll(ctx, seen, out))
	return out
}

// createAll makes what a BulkStore can make and returns the places of the others.
func (l *Linker) createAll(ctx context.Context, seen []symbolon.Reading, out []Result) (left []int) {
	store, ok := l.Store.(symbolon.BulkStore)
	ok = ok && !l.AdoptVerifiedEmail // each one's addresses are looked for
	once, left := places(seen)
	if !ok || l.Store.NewID() == symbolon.ByApplication { // which is asked about each
		left, once = append(left, once...), nil
	}
	var failed error
	for some := range slices.Chunk(once, bulk) {
		var made []symbolon.Outcome
		if failed == nil {
			made, failed = l.createSome(ctx, store, seen, some)
		}
		for n, at := range some {
			switch {
			case n < len(made) && made[n].New:
				out[at].Link, out[at].Err = l.finish(ctx, seen[at], made[n], nil)
			case failed != nil:
				out[at].Err = fmt.Errorf("link identity %s: %w", seen[at].Identity.ID, failed)
			default:
				left = append(left, at)
			}
		}
	}
	slices.Sort(left)
	return left
}

func (l *Linker) createSome(ctx context.Context, store symbolon.BulkStore, seen []symbolon.Reading, some []int) ([]symbolon.Outcome, error) {
	qs, p := make([]symbolon.Query, len(some)), l.policy()
	for n, at := range some {
		qs[n] = l.query(seen[at], p)
	}
	return store.CreateAll(ctx, qs, func(n int, h symbolon.Evidence) symbolon.Plan {
		plan, asked := decide.Identity(qs[n].Reading, h, l.policy())
		if !asked.None() {
			return symbolon.Plan{} // no Create: left for Write
		}
		return plan
	})
}

// places lists where each identity stands for the first time, by the order of IDs:
// everybody takes the locks in that order. Repetitions come after it, and so do IDs
// that are none, or not in the canonical form: Link says what is wrong with them.
func places(seen []symbolon.Reading) (once, others []int) {
	first := make(map[symbolon.IdentityID]bool, len(seen))
	for at, s := range seen {
		id, err := symbolon.ParseIdentityID(string(s.Identity.ID))
		if err != nil || id != s.Identity.ID || first[id] {
			others = append(others, at)
			continue
		}
		first[id] = true
		once = append(once, at)
	}
	slices.SortFunc(once, func(a, b int) int {
		return strings.Compare(string(seen[a].Identity.ID), string(seen[b].Identity.ID))
	})
	return once, others
}

// linkEach links one by one, some at once.
func (l *Linker) linkEach(ctx context.Context, seen []symbolon.Reading, out []Result, left []int) {
	var inRow failures
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(workers, len(left)) {
		wg.Go(func() {
			for at := range work {
				if out[at].Err = inRow.enough(); out[at].Err == nil {
					out[at].Link, out[at].Err = l.Link(ctx, seen[at])
					inRow.note(out[at].Err)
				}
			}
		})
	}
	for _, at := range left {
		work <- at
	}
	close(work)
	wg.Wait()
}

// failures counts how often nothing was answered without an answer between.
type failures struct {
	mu   sync.Mutex
	n    int
	last error
}

func (f *failures) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; !errors.Is(err, symbolon.ErrUnavailable) {
		f.n = 0
	}
	f.last = err
}

func (f *failures) enough() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n >= maxUnavailable {
		return fmt.Errorf("not tried any more: %w", f.last)
	}
	return nil
}
