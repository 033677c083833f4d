package symbolon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// BulkStore is what a [Store] may be as well: one that makes many users at once. It
// is found by a type assertion.
type BulkStore interface {
	// CreateAll makes users for those of many identities of whom nothing at all is
	// held: no entry, no row, and of no claim a row, a bond or a retired ID. decide is
	// asked about each of them, in any order, with the number of its query and with
	// such an empty Held; it must be free of side effects. Where it answers a Create
	// and nothing else (no conflict, no finding, nobody's ID to be retired) the bond
	// is made, and row for row what Write would have made of it, OnLink included.
	//
	// Outcomes answer the queries one for one. All others are left for Write, and
	// their Outcome is the zero value: who is held already, whose plan is another one,
	// whom the table refuses, for whom somebody else was faster. Each bond is whole or
	// not there. An error means that the rest was not tried; what was made before it
	// is among the outcomes, and stays; of the transaction that failed nothing may be
	// known. Queries name an identity once, in the canonical form of its ID; a few
	// hundred of them make one transaction.
	CreateAll(ctx context.Context, qs []Query, decide func(n int, h Held) Plan) ([]Outcome, error)
}

// Result is what became of one identity: what [Linker.Link] returns.
type Result struct {
	Link Link
	Err  error
}

const (
	// bulk is how many identities CreateAll is given at once.
	bulk = 500

	// hands is how many identities LinkAll has under way at once, beyond those that a
	// BulkStore made. On SQLite they queue.
	hands = 8

	// resignation is after how many ErrUnavailable in a row LinkAll tries no more.
	resignation = 2 * hands
)

// LinkAll is [Linker.Link] for many identities, and many times as fast where most of
// them are new and the store is a [BulkStore]: those get their users some hundred at
// a time. All that holds for Link holds for each of them. The results answer seen one
// for one; an identity may be among them more than once.
//
// Where Ory or the store does not answer, the rest is given the same ErrUnavailable
// without being tried.
func (l *Linker) LinkAll(ctx context.Context, seen []Seen) []Result {
	l.setup()
	out := make([]Result, len(seen))
	l.linkEach(ctx, seen, out, l.createAll(ctx, seen, out))
	return out
}

// createAll makes what a BulkStore can make and returns the places of the others.
func (l *Linker) createAll(ctx context.Context, seen []Seen, out []Result) (left []int) {
	store, ok := l.Store.(BulkStore)
	ok = ok && !l.AdoptVerifiedEmail // each one's addresses are looked for
	once, left := places(seen)
	if !ok || l.Store.NewID() == ByApplication { // which is asked about each
		left, once = append(left, once...), nil
	}
	var failed error
	for some := range slices.Chunk(once, bulk) {
		var made []Outcome
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

func (l *Linker) createSome(ctx context.Context, store BulkStore, seen []Seen, some []int) ([]Outcome, error) {
	qs, p := make([]Query, len(some)), l.policy()
	for n, at := range some {
		qs[n] = l.query(seen[at], p)
	}
	return store.CreateAll(ctx, qs, func(n int, h Held) Plan {
		plan, asked := decide(qs[n].Seen, h, l.policy())
		if !asked.none() {
			return Plan{} // no Create: left for Write
		}
		return plan
	})
}

// places lists where each identity stands for the first time, by the order of IDs:
// everybody takes the locks in that order. Repetitions come after it, and so do IDs
// that are none, or not in the canonical form: Link says what is wrong with them.
func places(seen []Seen) (once, others []int) {
	first := make(map[IdentityID]bool, len(seen))
	for at, s := range seen {
		id, err := ParseIdentityID(string(s.Identity.ID))
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
func (l *Linker) linkEach(ctx context.Context, seen []Seen, out []Result, left []int) {
	var inRow failures
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(hands, len(left)) {
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
	if f.n++; !errors.Is(err, ErrUnavailable) {
		f.n = 0
	}
	f.last = err
}

func (f *failures) enough() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n >= resignation {
		return fmt.Errorf("not tried any more: %w", f.last)
	}
	return nil
}
