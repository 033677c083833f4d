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
	"github.com/symbolon-id/symbolon/internal/pool"
)

// Result is what [Linker.Link] returns for one identity.
type Result struct {
	Link symbolon.Link
	Err  error
}

const (
	// batchSize is how many identities CreateAll gets at once.
	batchSize = 500

	// workers is how many identities LinkAll links side by side. On SQLite they queue.
	workers = 8

	// LinkAll ends after maxUnavailable calls in a row that returned ErrUnavailable.
	maxUnavailable = 2 * workers
)

// LinkAll is [Linker.Link] for many identities. It is many times faster than single calls
// if most identities are new and the store is a [symbolon.BulkStore], which makes users in
// batches. For each identity the contract of Link holds, but a new user that the application
// denies at once is returned without the denial. The results are in the order of
// the readings; an identity may occur more than once.
//
// If Ory or the store stops answering, the remaining identities are not tried and get the
// same ErrUnavailable.
func (l *Linker) LinkAll(ctx context.Context, readings []symbolon.Reading) []Result {
	l.setup()
	out := make([]Result, len(readings))
	left := l.createAll(ctx, readings, out)
	l.linkEach(ctx, readings, out, left)
	return out
}

// createAll links the identities that a BulkStore can link in batches, and returns the
// indexes of the others.
func (l *Linker) createAll(ctx context.Context, readings []symbolon.Reading, out []Result) (left []int) {
	store, ok := l.Store.(symbolon.BulkStore)
	once, left := distinct(readings)
	if start := l.starts.known(); start != nil && start.CreatedAt.IsZero() {
		_ = l.starts.read(ctx, l, start) // after an error each identity asks the store again
	}
	if !ok || l.lacksMaker() || l.AdoptVerifiedEmail || l.OnReturn.Looks() || l.Store.NewID() == symbolon.ByApplication { // in the last three cases decide asks a question about each identity
		left, once = append(left, once...), nil
	}
	var failed error
	for batch := range slices.Chunk(once, batchSize) {
		var made []symbolon.Outcome
		if failed == nil {
			made, failed = l.createBatch(ctx, store, readings, batch)
		}
		for n, at := range batch {
			switch {
			case n < len(made) && made[n].New:
				out[at].Link, out[at].Err = l.finish(ctx, readings[at], made[n], nil)
			case failed != nil:
				out[at].Err = fmt.Errorf("link identity %s: %w", readings[at].Identity.ID, failed)
			default:
				left = append(left, at)
			}
		}
	}
	slices.Sort(left)
	return left
}

func (l *Linker) createBatch(ctx context.Context, store symbolon.BulkStore, readings []symbolon.Reading, batch []int) ([]symbolon.Outcome, error) {
	qs, p := make([]symbolon.Query, len(batch)), l.policy()
	for n, at := range batch {
		qs[n] = l.query(readings[at], p)
	}
	return store.CreateAll(ctx, qs, func(n int, e symbolon.Evidence) symbolon.Plan {
		plan, question := decide.Identity(qs[n].Reading, e, l.policy())
		if !question.None() {
			return symbolon.Plan{} // CreateAll leaves this identity to Link
		}
		return plan
	})
}

// distinct returns the index of the first reading of each identity, in the order of the
// IDs, because all transactions lock in that order. The others are repetitions, and IDs
// that are invalid or not canonical; Link returns an error for an invalid ID.
func distinct(readings []symbolon.Reading) (once, others []int) {
	known := make(map[symbolon.IdentityID]bool, len(readings))
	for at, r := range readings {
		id, err := symbolon.ParseIdentityID(string(r.Identity.ID))
		if err != nil || id != r.Identity.ID || known[id] {
			others = append(others, at)
			continue
		}
		known[id] = true
		once = append(once, at)
	}
	slices.SortFunc(once, func(a, b int) int {
		return strings.Compare(string(readings[a].Identity.ID), string(readings[b].Identity.ID))
	})
	return once, others
}

// linkEach calls Link for each index in left, with several workers.
func (l *Linker) linkEach(ctx context.Context, readings []symbolon.Reading, out []Result, left []int) {
	var failures unavailableInRow
	pool.Each(len(left), workers, func(i int) {
		at := left[i]
		if out[at].Err = failures.tooMany(); out[at].Err == nil {
			out[at].Link, out[at].Err = l.Link(ctx, readings[at])
			failures.count(out[at].Err)
		}
	})
}

// unavailableInRow counts calls in a row that ended with ErrUnavailable.
type unavailableInRow struct {
	mu   sync.Mutex // protects n and last
	n    int
	last error
}

func (u *unavailableInRow) count(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n++; !errors.Is(err, symbolon.ErrUnavailable) {
		u.n = 0
	}
	u.last = err
}

func (u *unavailableInRow) tooMany() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n >= maxUnavailable {
		return fmt.Errorf("not tried any more: %w", u.last)
	}
	return nil
}
