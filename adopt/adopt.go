// Package adopt is for those who had both halves before they had Symbolon: identities
// at Ory and users of their own, and nothing in the ledger that says who is who.
//
//	a := &adopt.Adopter{Linker: linker, Ledger: store, Users: store, Identities: list, LastSignIn: client.LastSignIn}
//	plan, err := a.Plan(ctx, adopt.Options{By: []symbolon.Proof{symbolon.ByExternalID}}, visit)  // writes nothing
//	report, err := a.Apply(ctx, lines, adopt.Options{})                                       // that plan and nothing else
//	report, err = a.Undo(ctx, run, adopt.Options{})
//
// A plan says of every identity and every user what is known:
//
//	linked     the ledger binds the two
//	column     the row's identity column holds the identity's ID
//	voucher    the identity carries a voucher for the user
//	named      it names the user where the operator says that it does (Options.By)
//	email      one address, verified by both sides (Options.Email)
//	ambiguous  there is a trace of the other half, and it does not suffice; Why says why
//	alone      there is none
//
// Applying reads the whole world again and carries out the lines that still hold, one
// by one, through [link.Linker.Adopt]; a line whose facts have changed is refused
// and named. What was done is found done, so that a run that was killed is simply run
// again. Of a user's row nothing is ever written but the identity column, so that
// undoing it leaves the world as it was.
//
// Memory: a plan holds one small record for each user whom the ledger does not bind
// and for each identity that it finds a user for, some 300 bytes for a pair; bound
// ones cost nothing, unless Options.Email wants every user's address looked at.
package adopt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// Class is what is known of an identity or of a user.
type Class string

const (
	Linked    Class = "linked"
	Column    Class = "column"
	Voucher   Class = "voucher"
	Named     Class = "named"
	Email     Class = "email"
	Ambiguous Class = "ambiguous"
	Alone     Class = "alone"
)

// Classes are all of them, in the order in which they are reported.
func Classes() []Class {
	return []Class{Linked, Column, Voucher, Named, Email, Ambiguous, Alone}
}

// Line is one line of a plan. Every identity that Ory has is in exactly one line, and
// every user in one at least.
type Line struct {
	Class    Class               `json:"class"`
	Identity symbolon.IdentityID `json:"identity_id,omitempty"`
	User     symbolon.UserID     `json:"user_id,omitempty"`
	By       symbolon.Proof      `json:"by,omitempty"`
	Do       Step                `json:"do,omitempty"`
	Why      string              `json:"why,omitempty"`
}

// Step is what applying the plan does about a line; empty: nothing.
type Step string

// Bind binds the line's identity to its user.
const Bind Step = "bind"

// RunOf names the run that carries out these lines. The same lines make the same run,
// in whatever file they come, so that a run that was killed goes on under its name.
func RunOf(lines []Line) string {
	h := sha256.New()
	for _, l := range lines {
		if l.Do == Bind {
			_, _ = fmt.Fprintf(h, "%q %q %q\n", l.Identity, l.User, l.By)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// Ledger is what the ledger is asked. *sqlstore.Store is one.
type Ledger interface {
	// Entries returns the entries behind after up to and including upto (empty: to
	// the last), ordered by identity, limit at most.
	Entries(ctx context.Context, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error)

	// AdoptEvents returns the events of a run behind after, oldest first.
	AdoptEvents(ctx context.Context, project, run string, after int64, limit int) ([]symbolon.Event, error)
}

// Users is what the users table is asked. *sqlstore.Store is one.
type Users interface {
	// UserRows returns the rows behind after in the order of their keys, limit at most,
	// with one more column unless it is empty.
	UserRows(ctx context.Context, project string, after symbolon.UserID, column string, limit int) ([]symbolon.UserRow, error)

	// UserRow returns one row, or ErrNotFound.
	UserRow(ctx context.Context, project string, user symbolon.UserID, column string) (symbolon.UserRow, error)
}

// Adopter plans, applies and undoes. All fields but Now are required; they are left
// alone after the first call. Runs may overlap: each bond is one transaction.
type Adopter struct {
	// Linker is the one door. It needs Ory's admin API.
	Linker *link.Linker

	Ledger Ledger
	Users  Users

	// Identities lists everybody at Ory over the admin API, in the order of their IDs;
	// an error ends the listing.
	Identities func(context.Context) iter.Seq2[symbolon.Identity, error]

	// LastSignIn is when somebody last authenticated as the identity; the zero time:
	// never, or no session of it is left. Only Undo asks.
	LastSignIn func(context.Context, symbolon.IdentityID) (time.Time, error)

	// Now defaults to time.Now.
	Now func() time.Time
}

// Options qualify a run.
type Options struct {
	// By is the operator's word on where halves name each other: external_id,
	// "metadata_public.KEY" or "column:NAME", at most one column. Apply adds those that
	// its lines speak of.
	By []symbolon.Proof

	// Email looks for verified e-mail addresses that both sides have. It needs a store
	// that knows the columns.
	Email bool

	// Progress is called now and then by the goroutine that runs.
	Progress func(Progress)
}

// Phase is what a run is at.
type Phase string

const (
	ReadingUsers      Phase = "users"
	ReadingIdentities Phase = "identities"
	Binding           Phase = "binding"
	Undoing           Phase = "undoing"
)

// Progress says how far a run is.
type Progress struct {
	Phase   Phase
	Done    int // in this phase
	Of      int // how many there are; 0: not known
	Elapsed time.Duration
}

func (a *Adopter) project() string {
	if a.Linker.Project == "" {
		return symbolon.DefaultProject
	}
	return a.Linker.Project
}

func (a *Adopter) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// meter tells the progress of one phase, every few hundred steps.
type meter struct {
	tell  func(Progress)
	now   func() time.Time
	began time.Time
	at    Progress
}

func (a *Adopter) meter(o Options, phase Phase, of int) *meter {
	return &meter{tell: o.Progress, now: a.now, began: a.now(), at: Progress{Phase: phase, Of: of}}
}

func (m *meter) step(n int) {
	m.at.Done += n
	if m.tell != nil && (n > 1 || m.at.Done%100 == 0 || m.at.Done == m.at.Of) {
		m.at.Elapsed = m.now().Sub(m.began)
		m.tell(m.at)
	}
}
