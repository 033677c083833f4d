// Package adopt links identities and users that existed before Symbolon. There are
// identities at Ory and users in the application, and the ledger does not know yet which of
// them belong together.
//
//	a := &adopt.Adopter{Linker: linker, Ledger: store, Users: store, Identities: list, Sessions: client.Sessions}
//	plan, err := a.Plan(ctx, adopt.Options{By: []symbolon.Proof{symbolon.ByExternalID}}, visit)  // writes nothing
//	report, err := a.Apply(ctx, lines, adopt.Options{})                                       // applies exactly that plan
//	report, err = a.Undo(ctx, run, adopt.Options{})
//
// A plan has a class for every identity and every user:
//
//	linked     the ledger links the two
//	column     the row's identity column holds the identity's ID
//	voucher    the identity carries a voucher for the user
//	named      a place that the operator declared names the user (Options.By)
//	email      both sides have verified the same e-mail address (Options.Email)
//	ambiguous  there is evidence, but not enough; Why gives the reason
//	alone      there is no evidence
//
// Apply reads everything again and applies the lines that are still true, one by one,
// through [link.Linker.Adopt]. It refuses and reports a line whose facts have changed.
// Lines that were applied before are counted as done, so a killed run is simply run again.
// Apply writes only the identity column of a user's row, so Undo restores the previous
// state.
//
// Memory: a plan keeps one small record for each user without a link, and one for each
// identity for which it finds a user: about 300 bytes for a pair. Linked users cost
// nothing, unless Options.Email has to compare every user's address. With Options.Columns or
// Options.EmailColumn it keeps a record of each identity that it does not bind, too.
package adopt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// Class is the kind of evidence for a line.
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

// Classes returns all classes in the order of reports.
func Classes() []Class {
	return []Class{Linked, Column, Voucher, Named, Email, Ambiguous, Alone}
}

// Line is one line of a plan. Every identity at Ory is in exactly one line, and every user
// is in at least one.
type Line struct {
	Class    Class               `json:"class"`
	Identity symbolon.IdentityID `json:"identity_id,omitempty"`
	User     symbolon.UserID     `json:"user_id,omitempty"`
	By       symbolon.Proof      `json:"by,omitempty"`
	Do       Step                `json:"do,omitempty"`
	Why      string              `json:"why,omitempty"`
}

// Step is what Apply does with a line. Empty: nothing.
type Step string

// Bind links the line's identity to its user.
const Bind Step = "bind"

// RunOf returns the name of the run that applies these lines. The same lines always give
// the same name, whichever file they come from, so a killed run continues under its name.
func RunOf(lines []Line) string {
	h := sha256.New()
	for _, l := range lines {
		if l.Do == Bind {
			_, _ = fmt.Fprintf(h, "%q %q %q\n", l.Identity, l.User, l.By)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// Ledger is the part of the ledger that adopt reads. *sqlstore.Store implements it.
type Ledger interface {
	// Entries returns at most limit entries, ordered by identity. The page holds the
	// entries with IDs greater than the parameter after, up to and including upto. If upto
	// is empty, there is no upper bound.
	Entries(ctx context.Context, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error)

	// AdoptEvents returns at most limit events of a run, oldest first. The page holds the
	// events with IDs greater than the parameter after.
	AdoptEvents(ctx context.Context, project, run string, after int64, limit int) ([]symbolon.Event, error)
}

// Users reads the users table. *sqlstore.Store implements it.
type Users interface {
	// UserRows returns at most limit rows, ordered by key. The page holds the rows with
	// keys greater than the parameter after. column names an additional column to read; it
	// may be empty.
	UserRows(ctx context.Context, project string, after symbolon.UserID, column string, limit int) ([]symbolon.UserRow, error)

	// UserRow returns one row, or ErrNotFound.
	UserRow(ctx context.Context, project string, user symbolon.UserID, column string) (symbolon.UserRow, error)
}

// Adopter plans, applies and undoes adoptions. All fields except Seen and Now are required. Do not
// change them after the first call. Runs may overlap, because each link is one transaction.
type Adopter struct {
	// Linker makes every link. It needs Ory's admin API.
	Linker *link.Linker

	Ledger Ledger
	Users  Users

	// Identities lists all identities through the admin API, ordered by ID. An error ends
	// the listing.
	Identities func(context.Context) iter.Seq2[symbolon.Identity, error]

	// Sessions returns the identity's newest sessions at Ory, also those that have ended.
	// Only Undo uses it.
	Sessions func(context.Context, symbolon.IdentityID) ([]symbolon.Session, error)

	// Seen reads which sessions the server has seen, from the day of the time since until
	// now. day returns the last day on which a session was seen, in days since 1970, or 0.
	// from is the first day that is known completely. The method SeenSessions of
	// *sqlstore.Replicas fits. Only Undo uses it; without it Undo sees new sign-ins only.
	Seen func(ctx context.Context, since time.Time) (day func(session string) int64, from int64, err error)

	// Now defaults to time.Now.
	Now func() time.Time
}

// Options are the options of a run.
type Options struct {
	// By lists places that the operator trusts: there an identity names its user, or a row
	// names its identity. A place is external_id, "metadata_public.KEY" or "column:NAME",
	// with at most one column. Apply also uses the places in the
	// field By of its lines.
	By []symbolon.Proof

	// Columns are further columns of the users table that may hold identity IDs. Plan only
	// counts what they would name, in Counts.Places.
	Columns []string

	// EmailColumn is the column of the users table with e-mail addresses, or empty. Without
	// Email, Plan only counts the equal addresses, in Counts.Mailed.
	EmailColumn string

	// Email also compares verified e-mail addresses. It needs a store that knows the
	// columns.
	Email bool

	// DespiteSessions lets Undo also undo a link if the server has seen an older session of
	// the person since the link was made, or may have seen it.
	DespiteSessions bool

	// Progress is called every few hundred steps, by the goroutine of the run.
	Progress func(Progress)
}

// Phase is a phase of a run.
type Phase string

const (
	ReadingUsers      Phase = "users"
	ReadingIdentities Phase = "identities"
	Binding           Phase = "binding"
	Undoing           Phase = "undoing"
)

// Progress is how far a run has come.
type Progress struct {
	Phase   Phase
	Done    int // in this phase
	Of      int // how many there are; 0: not known
	Elapsed time.Duration
}

func (a *Adopter) project() string {
	return cmp.Or(a.Linker.Project, symbolon.DefaultProject)
}

func (a *Adopter) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// meter reports the progress of one phase, every few hundred steps.
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
