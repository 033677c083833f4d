// Package reconcile compares every identity that Ory has with what the ledger and the
// application's rows say, and mends what can be mended: hooks get lost, and identities
// made by the admin API, an import or SCIM send none.
//
//	r := &reconcile.Reconciler{Linker: linker, Ledger: store, Runs: store,
//		Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
//			return client.Identities(ctx, ory.ListOptions{From: from})
//		}}
//	report, err := r.Run(ctx, reconcile.Options{Repair: true})
//
// A run with Repair goes through up to five phases, each only where there is something
// to do in it:
//
//	look    the whole listing beside the ledger, writing nothing
//	mend    the listing was whole and plausible: a ticket is taken, everybody is listed
//	        again, and each difference goes through Linker.Link
//	rebind  whoever is held because it claims the user of an identity that Ory no longer
//	        has: that is proved, and the user handed on (Options.Rebind)
//	bury    linked identities that the listing did not have are proved gone, and their
//	        rows follow the policy
//	settle  everybody once more: what is left is recorded as findings, and findings
//	        that are no longer so are closed
//
// So a world in which nothing has changed is read once and nothing is written anywhere,
// not even a ticket; and a listing that breaks off, is empty or is another project's
// touches nobody. Every repair is idempotent and safe beside sign-ups, hooks and other
// runs. A run that is killed goes on where it was (Options.Resume), or is simply run
// again.
//
// That an identity is not in a listing proves nothing. Nobody's bond is ended before
// Ory's own 404 was read twice, half a minute apart, with a known identity found in
// between; and more missing ones than deletions explain end the run.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// Errors of a run, beside [symbolon.ErrUnavailable] and [symbolon.ErrNoAdmin].
var (
	// ErrIncomplete: the listing broke off, or was not in the order of IDs.
	ErrIncomplete = errors.New("the listing of identities is incomplete")

	// ErrImplausible: more linked identities were missing in the listing than
	// deletions explain, or all of them. Nobody was touched.
	ErrImplausible = errors.New("the listing of identities is implausible")

	// ErrBusy: another run of the project is at work, here or elsewhere.
	ErrBusy = errors.New("another run is at work")
)

// Ledger is what is compared. *sqlstore.Store is one.
type Ledger interface {
	// Entries returns the entries behind after (empty: from the first) up to and
	// including upto (empty: to the last), ordered by identity, limit at most.
	Entries(ctx context.Context, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error)

	// Digest is what the ledger would note of an identity that is read like this.
	Digest(ctx context.Context, id symbolon.Identity) (string, error)

	// Findings returns open findings in the order of identity and kind.
	Findings(ctx context.Context, q symbolon.FindingsQuery) ([]symbolon.Finding, error)

	// RecordFindings opens findings and closes others, all or none. What is so already
	// is passed over.
	RecordFindings(ctx context.Context, project string, way symbolon.Source, open, closed []symbolon.Finding) error
}

// Reconciler compares and mends. Linker, Ledger and Identities are required; the
// fields are left alone after the first run.
type Reconciler struct {
	// Linker is the one door: every repair is a call of it. It needs Ory's admin API.
	Linker *link.Linker

	// Ledger is the store that the Linker writes to.
	Ledger Ledger

	// Runs keeps how far runs with Repair came, and two of them from working at once.
	// Optional: without it they may overlap, which costs twice and ends the same, and
	// one that is killed begins anew.
	Runs Runs

	// Identities lists everybody at Ory over the admin API whose ID comes behind from
	// (empty: from the first), in the order of their IDs; an error ends the listing.
	Identities func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error]

	// Lease is for how long a run that is killed keeps others from taking it up; three
	// times as often it is written down. Defaults to 30 seconds.
	Lease time.Duration

	// Now defaults to time.Now.
	Now func() time.Time

	resting resting
}

// Options qualify a run. The zero value looks at everything and writes nothing.
type Options struct {
	// Repair mends what can be mended, see [Mends], and records what is left.
	Repair bool

	// Rebind also gives identities that were recreated the users of those that are
	// proved gone: the operator's word. It needs Repair.
	Rebind bool

	// Only are the kinds to be reported, mended and recorded. Empty: all of [Kinds].
	Only []symbolon.FindingKind

	// AllowMissing is how many linked identities may be missing in the listing
	// before it is implausible: the operator's word after a great deletion. By
	// default ten, or one in a hundred.
	AllowMissing int

	// Resume goes on with a run that died, with its own options but for Progress; where
	// there is none it begins one. Without it such a run is given up.
	Resume bool

	// ID names a new run. By default it is a UUID.
	ID string

	// Progress is called after every few hundred identities, one call at a time.
	Progress func(Progress)
}

// Progress says how far a run is.
type Progress struct {
	Phase       Phase
	Identities  int           // seen in this phase
	Differences int           // met in this phase
	Mended      int           // in this run
	Share       float64       // of the key space that this phase has behind it, 0 to 1: even, as long as Ory's IDs are random
	Elapsed     time.Duration // of this phase, since the run was taken up
	Rate        float64       // identities a second, since then
	Left        time.Duration // about so long until the end of the phase; 0: there is no telling yet
}

// Finding is a difference between the halves.
type Finding struct {
	Kind     symbolon.FindingKind
	Identity symbolon.IdentityID
	User     symbolon.UserID // empty: none is concerned
	Detail   string          // what each half says
	Repair   string          // what a repair does; empty: nothing, it is the operator's to settle
}

func (f Finding) forLedger() symbolon.Finding {
	return symbolon.Finding{Kind: f.Kind, Identity: f.Identity, User: f.User, Detail: f.Detail}
}

// Report is what a run saw last and what it did.
type Report struct {
	ID         string // of the run; empty where it was not written down
	Identities int    // in Ory's listing
	Linked     int    // ledger entries with a living user, in the listing or not
	Forgotten  int    // identities whose user the application deleted; no finding

	// NoBackReference counts linked identities without the user's ID at Ory. No
	// finding, unless the policy is to repair it: nothing depends on it.
	NoBackReference int

	// Found counts the differences that are left, by kind; Findings are the first
	// 10,000 of them that were met since the run was taken up. Where a run ended while
	// it mended, they are those it began with.
	Found    map[symbolon.FindingKind]int
	Findings []Finding

	// Mended counts what this run mended, by what was found before. Denied counts
	// repairs that were refused, each a finding now; Failed those that could not be
	// tried to the end: the next run does.
	Mended         map[symbolon.FindingKind]int
	Denied, Failed int

	// Complete says that the last listing was whole and plausible. Without it the
	// report is of what was seen, and absence means nothing.
	Complete bool
}

// Left is how many differences are left.
func (r Report) Left() (n int) {
	for _, k := range r.Found {
		n += k
	}
	return n
}

// Run compares everybody once, and mends where Options.Repair says so. The report
// holds what was seen and done even where an error ended the run early: ErrIncomplete
// and ErrImplausible (nobody was touched, unless it was a later listing that broke
// off), ErrBusy, ErrUnavailable, or ErrNoAdmin. That differences are left is no error.
func (r *Reconciler) Run(ctx context.Context, o Options) (Report, error) {
	report, _, err := r.work(ctx, o, 0)
	return report, err
}

// Work goes on with the project's run with Repair, or begins one, and stops after
// about slice: at the next page, or a proof later. done says that the run is over;
// otherwise the next call, of any process, goes on. Errors are those of Run: a run
// that Ory's or the store's outage ended is taken up by the next call.
func (r *Reconciler) Work(ctx context.Context, o Options, slice time.Duration) (report Report, done bool, err error) {
	o.Repair, o.Resume = true, true
	return r.work(ctx, o, slice)
}

func (r *Reconciler) work(ctx context.Context, o Options, slice time.Duration) (Report, bool, error) {
	if !r.Linker.Ory.HasAdmin() {
		return Report{}, false, fmt.Errorf("reconcile: %w", symbolon.ErrNoAdmin)
	}
	run, err := r.open(ctx, o)
	if err != nil {
		return Report{}, false, fmt.Errorf("reconcile: %w", err)
	}
	if slice > 0 {
		run.until = r.now().Add(slice)
	}
	err = run.keep(ctx, run.all)
	report := run.report(err)
	if err == nil {
		err = run.conclude()
	}
	switch {
	case errors.Is(err, errPaused):
		return report, false, nil
	case err != nil:
		return report, false, fmt.Errorf("reconcile: %w", err)
	}
	return report, true, nil
}

func (r *Reconciler) project() string {
	if r.Linker.Project == "" {
		return symbolon.DefaultProject
	}
	return r.Linker.Project
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
