package session

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/symbolon-id/symbolon"
)

// Loader reads a row of the application for each user who signs in; see [Load].
type Loader[T any] struct {
	owner *Verifier
	slot  int
}

// Load makes the verifier read a row of the application, such as the account, the plan or
// the permissions, with every answer of Ory. The row is cached, refreshed and purged
// together with the answer, so that most requests need no query:
//
//	accounts := session.Load(auth, func(ctx context.Context, u symbolon.User) (*Account, error) {
//		return readAccount(ctx, db, u.ID)
//	})
//	mux.Handle("/notes", auth.Require(notes)) // inside: a, ok := accounts.From(r.Context())
//
// Call Load before the first request. A row may be as old as [Verifier.Bound]. After a
// change in the database call [Verifier.Purge]. Requests share the row, so it must not be
// changed. An error of load is "don't know": the request is answered with 503 and nothing
// is cached. If a missing row is normal, return a value of T that says so. The context of
// load is not the request's context, because many requests may wait for one answer.
//
// For MaxBytes the size of a row is the size of T, plus the result of the row's method
// Size() int if it has this method.
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

// From returns the row of the request's user. It returns false if nobody has signed in, or
// if another verifier let the request in.
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

// With returns a context in which u has signed in with this row, for tests of handlers.
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

// rows holds the rows of one answer.
type rows struct {
	owner *Verifier
	rows  []any // *T each
}

type loader func(ctx context.Context, u symbolon.User) (row any, size int, err error)

// load reads all rows of a user. It returns nil if there are no loaders.
func (v *Verifier) load(ctx context.Context, u symbolon.User) (loaded any, size int, err error) {
	all := v.loaders.Load()
	if all == nil {
		return nil, 0, nil
	}
	r := &rows{owner: v, rows: make([]any, len(*all))}
	for i, load := range *all {
		row, n, err := load(ctx, u)
		if err != nil {
			return nil, 0, fmt.Errorf("session: load the row of user %s: %w (%v)", u.ID, symbolon.ErrUnavailable, err) //nolint:errorlint // an error of load never becomes a denial
		}
		r.rows[i], size = row, size+n
	}
	return r, size, nil
}
