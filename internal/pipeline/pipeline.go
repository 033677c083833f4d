// Package pipeline sends several statements to Postgres in one round trip. Package sqlstore
// has the statements and imports no driver. The connections of pgxtx.OpenDB execute them.
// The two packages share only this one.
package pipeline

import "context"

// Statement is a statement and its result.
type Statement struct {
	Text string
	Args []any
	Row  []any // where the columns of the only row go; nil: no row is read
	Sent bool  // the connection has executed it
}

type firstKey struct{}

// WithFirst returns a context for BeginTx. A connection that can do it executes the
// statements in the round trip of BEGIN and sets Sent. If a statement fails, BeginTx fails
// with the statement's error. Other connections ignore the statements.
func WithFirst(ctx context.Context, first ...*Statement) context.Context {
	return context.WithValue(ctx, firstKey{}, first)
}

// First returns the statements of WithFirst.
func First(ctx context.Context) []*Statement {
	first, _ := ctx.Value(firstKey{}).([]*Statement)
	return first
}

// Conn is a driver's connection that is inside a transaction and has executed the
// statements of WithFirst.
type Conn interface {
	// Last gives the statements that the transaction executes in the round trip of its
	// COMMIT. If one of them fails, Commit returns the statement's error, and the
	// transaction is rolled back. Their rows are not read, so each statement must fail by
	// itself if the transaction must not be committed. Last returns an error if no
	// transaction is open.
	Last(statements []*Statement) error
}

// RolledBack is an error of Commit after which the server has confirmed that the
// transaction was rolled back.
type RolledBack struct{ Err error }

func (e RolledBack) Error() string { return e.Err.Error() }

func (e RolledBack) Unwrap() error { return e.Err }
