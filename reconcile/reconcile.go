// Package reconcile compares every identity that Ory has with what the ledger and the
// application's rows say, and mends what can be mended: hooks get lost, and identities
// made by the admin API, an import or SCIM send none.
//
//	r := &reconcile.Reconciler{Linker: linker, Ledger: store, Identities: func(ctx context.Context) iter.Seq2[symbolon.Identity, error] {
//		return client.Identities(ctx, ory.ListOptions{})
//	}}
//	report, err := r.Run(ctx, reconcile.Options{Repair: true})
//
// A run with Repair reads up to three times:
//
//	look    the whole listing beside the ledger, writing nothing
//	mend    only where something can be mended, and the listing was whole and plausible:
//	        a ticket is taken, everybody is listed again, and each difference goes
//	        through Linker.Link
//	look    what is left now
//
// So a world without differences is read once and nothing is written anywhere, not
// even a ticket; and a listing that breaks off, is empty or is another project's
// touches nobody. Every repair is idempotent and safe beside sign-ups, hooks and other
// runs; a run that is killed is simply run again.
//
// Nobody is ever unlinked, deactivated or deleted here: that an identity is not in a
// listing proves nothing.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Errors of a run, beside [symbolon.ErrUnavailable] and [symbolon.ErrNoAdmin].
var (
	// ErrIncomplete: the listing broke off, or was not in the order of IDs.
	ErrIncomplete = errors.New("the listing of identities is incomplete")

	// ErrImplausible: more linked identities were missing in the listing than
	// deletions explain, or all of them. Nothing was mended.
	ErrImplausible = errors.New("the listing of identities is implausible")
)

// Ledger is what is compared. *sqlstore.Store is one.
type Ledger interface {
	// Entries returns the entries behind after (empty: from the first) up to and
	// including upto (empty: to the last), ordered by identity, limit at most.
	Entries(ctx context.Context, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error)

	// Digest is what the ledger would note of an identity that is read like this.
	Digest(ctx context.Context, id symbolon.Identity) (string, error)
}

// Reconciler compares and mends. Linker, Ledger and Identities are required; the
// fields are left alone after the first run. Runs may overlap, here and elsewhere: they
// cost twice and end the same.
type Reconciler struct {
	// Linker is the one door: every repair is one call of its Link. It needs Ory's
	// admin API.
	Linker *symbolon.Linker

	// Ledger is the store that the Linker writes to.
	Ledger Ledger

	// Identities lists everybody at Ory over the admin API, in the order of their
	// IDs; an error ends the listing. It is called up to three times in a run.
	Identities func(context.Context) iter.Seq2[symbolon.Identity, error]

	// Now defaults to time.Now.
	Now func() time.Time
}

// Options qualify a run. The zero value looks at everything and writes nothing.
type Options struct {
	// Repair mends what can be mended; see [Mends].
	Repair bool

	// Only are the kinds to be reported and mended. Empty: all of [Kinds].
	Only []symbolon.FindingKind

	// AllowMissing is how many linked identities may be missing in the listing
	// before it is implausible: the operator's word after a great deletion. By
	// default ten, or one in a hundred.
	AllowMissing int

	// Progress is called after every few hundred identities, by the goroutine that
	// called Run.
	Progress func(Progress)
}

// Progress says how far a run is.
type Progress struct {
	Phase       Phase
	Identities  int           // seen in this phase
	Differences int           // met in this phase
	Mended      int           // in this run
	Share       float64       // of the key space that this phase has behind it, 0 to 1: even, as long as Ory's IDs are random
	Elapsed     time.Duration // of this phase
}

// Phase is what a run is at.
type Phase string

const (
	Looking Phase = "looking"
	Mending Phase = "mending"
)

// Finding is a difference between the halves.
type Finding struct {
	Kind     symbolon.FindingKind
	Identity symbolon.IdentityID
	User     symbolon.UserID // empty: none is concerned
	Detail   string          // what each half says
	Repair   string          // what a repair does; empty: nothing, it is the operator's to settle
}

// keep bounds Report.Findings.
const keep = 10_000

// Report is what a run saw last and what it did.
type Report struct {
	Identities int // in Ory's listing
	Linked     int // ledger entries with a living user, in the listing or not
	Forgotten  int // identities whose user the application deleted; no finding

	// NoBackReference counts linked identities without the user's ID at Ory. No
	// finding: nothing depends on it.
	NoBackReference int

	// Found counts the differences that are left, by kind; Findings are the first
	// 10,000 of them. Where a run ended while it mended, they are those it began with.
	Found    map[symbolon.FindingKind]int
	Findings []Finding

	// Mended counts what this run mended, by what was found before. Denied counts
	// identities that were refused a user, each a finding now; Failed those that
	// could not be tried to the end: the next run does.
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
// and ErrImplausible (nobody was touched, unless the later listing of a repair broke
// off), ErrUnavailable, or ErrNoAdmin. That differences are left is no error.
func (r *Reconciler) Run(ctx context.Context, o Options) (Report, error) {
	if !r.Linker.Ory.HasAdmin() {
		return Report{}, fmt.Errorf("reconcile: %w", symbolon.ErrNoAdmin)
	}
	run := &run{Reconciler: r, options: o, mended: map[symbolon.FindingKind]int{}}
	report, err := run.all(ctx)
	if err != nil {
		return report, fmt.Errorf("reconcile: %w", err)
	}
	return report, nil
}

// run is the state of one Run.
type run struct {
	*Reconciler
	options Options

	mended         map[symbolon.FindingKind]int
	done           int // the sum of mended
	denied, failed int
	failure        error // the first one
}

func (r *run) all(ctx context.Context) (Report, error) {
	report, err := r.look(ctx)
	if err != nil || !r.options.Repair || !anyFound(report, Mends) {
		return report, err
	}
	if err = r.mend(ctx, anyFound(report, numbered)); err != nil {
		report.Complete = false
		return r.stamp(report), err
	}
	if report, err = r.look(ctx); err != nil {
		return report, err
	}
	if r.failure != nil {
		err = fmt.Errorf("%d repairs failed, the next run tries again: %w", r.failed, r.failure)
	}
	return report, err
}

// stamp notes what the run did.
func (r *run) stamp(report Report) Report {
	report.Mended, report.Denied, report.Failed = r.mended, r.denied, r.failed
	return report
}

func (r *run) project() string {
	if r.Linker.Project == "" {
		return "default"
	}
	return r.Linker.Project
}

func (r *run) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
