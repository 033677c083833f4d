package session

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/symbolon-id/symbolon"
)

// Loader reads a row of the application's own for each user who signs in; see
// [Load].
type Loader[T any] struct {
	owner *Verifier
	slot  int
}

// Load makes the verifier read a row of the application's own beside every answer
// of Ory: the account, the plan, the permissions. It is kept as long as the answer
// is, refreshed with it and purged with it, so that a request costs no look-up:
//
//	accounts := session.Load(auth, func(ctx context.Context, u symbolon.User) (*Account, error) {
//		return readAccount(ctx, db, u.ID)
//	})
//	mux.Handle("/notes", auth.Require(notes)) // inside: a, ok := accounts.From(r.Context())
//
// Call it before the first request. A row is as old as [Verifier.Bound] says, and
// shared by requests: nobody may change it; after a change in the database call
// [Verifier.Purge]. An error of load is "don't know": the request is answered with
// 503 and nothing is kept; that there is no row is a value of T. The context is not
// the request's: many may wait for one answer.
//
// MaxBytes counts a row with what its method Size() int says, or else with the size
// of T itself.
func Load[T any](v *Verifier, load func(ctx context.Context, u symbolon.User) (T, error)) *Loader[T] {
	v.loadersMu.Lock()
	defer v.loadersMu.Unlock()
	var all []loader
	if p := v.loaders.Load(); p != nil {
		all = append(all, *p...)
	}
	l := &Loader[T]{owner: v, slot: len(all)}
	all = append(all, func(ctx context.Context, u symbolon.User) (any, int, error) {
		row, err := load(ctx, u)
		if err != nil {
			return nil, 0, err
		}
		size := int(unsafe.Sizeof(row))
		if s, ok := any(row).(interface{ Size() int }); ok {
			size += s.Size()
		}
		return &row, size, nil
	})
	v.loaders.Store(&all)
	return l
}

// From returns the row of the request's user. False: nobody signed in, or not by
// this verifier.
func (l *Loader[T]) From(ctx context.Context) (row T, ok bool) {
	p := symbolon.PrincipalFrom(ctx)
	if p == nil {
		return row, false
	}
	all, ok := p.Loaded.(*rows)
	if !ok || all.owner != l.owner || l.slot >= len(all.rows) {
		return row, false
	}
	r, ok := all.rows[l.slot].(*T)
	if !ok || r == nil {
		return row, false
	}
	return *r, true
}

// With returns a context in which u has signed in with this row: for the tests of
// handlers.
func (l *Loader[T]) With(ctx context.Context, u symbolon.User, row T) context.Context {
	all := &rows{owner: l.owner, rows: make([]any, l.slot+1)}
	if p := symbolon.PrincipalFrom(ctx); p != nil && p.User == u {
		if before, ok := p.Loaded.(*rows); ok && before.owner == l.owner {
			all.rows = make([]any, max(l.slot+1, len(before.rows)))
			copy(all.rows, before.rows)
		}
	}
	all.rows[l.slot] = &row
	return symbolon.WithPrincipal(ctx, &symbolon.Principal{User: u, Loaded: all})
}

// rows are what the loaders of a verifier read for one answer.
type rows struct {
	owner *Verifier
	rows  []any // *T each
}

type loader func(ctx context.Context, u symbolon.User) (row any, size int, err error)

// load reads all rows of a user. It returns nil where nothing is loaded.
func (v *Verifier) load(ctx context.Context, u symbolon.User) (loaded any, size int, err error) {
	all := v.loaders.Load()
	if all == nil {
		return nil, 0, nil
	}
	r := &rows{owner: v, rows: make([]any, len(*all))}
	for i, load := range *all {
		row, n, err := load(ctx, u)
		if err != nil {
			return nil, 0, fmt.Errorf("session: load the row of user %s: %w (%v)", u.ID, symbolon.ErrUnavailable, err) //nolint:errorlint // a load that says "no" does not make it one
		}
		r.rows[i], size = row, size+n
	}
	return r, size, nil
}
