// Package reconcile compares every identity at Ory with the ledger and with the
// application's rows, and repairs what can be repaired. Differences arise because hooks get
// lost, and because Ory calls no hook for an identity that the admin API, an import or SCIM
// makes.
//
//	r := &reconcile.Reconciler{Linker: linker, Ledger: store, Runs: store,
//		Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
//			return client.Identities(ctx, ory.ListOptions{From: from})
//		}}
//	report, err := r.Run(ctx, reconcile.Options{Repair: true})
//
// A run with Repair has up to five phases. A phase with nothing to do is left out.
//
//	look    compares the whole listing with the ledger; writes nothing
//	repair  the listing was complete and plausible: takes a ticket, lists everybody again,
//	        and sends each difference through Linker.Link
//	rebind  an identity is held because it claims the user of another identity: proves
//	        that Ory no longer has the other one, and moves the user (Options.Rebind)
//	end     linked identities were missing in the listing: proves them gone, and treats
//	        their rows as the policy says
//	settle  compares once more; records the remaining differences as findings and closes
//	        findings that no longer hold
//
// So if nothing has changed, everything is read once and nothing is written, not even a
// ticket. A listing that breaks off, is empty or comes from another project changes
// nothing. Every repair is idempotent, and safe while sign-ups, hooks and other runs
// happen. A killed run is resumed (Options.Resume) or simply run again.
//
// An identity that is missing in a listing is not proved gone. A link ends only after Ory's
// own 404 was read twice, half a minute apart, and a known identity was found both times.
// If more linked identities are missing than deletions explain, the run ends.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// Errors of a run, besides [symbolon.ErrUnavailable] and [symbolon.ErrNoAdmin].
var (
	// ErrIncomplete: the listing broke off, or was not in the order of IDs.
	ErrIncomplete = errors.New("the listing of identities is incomplete")

	// ErrImplausible: more linked identities were missing in the listing than
	// deletions explain, or all of them. The run changed nothing.
	ErrImplausible = errors.New("the listing of identities is implausible")

	// ErrBusy: another run of the project is active, in this process or another.
	ErrBusy = errors.New("another run is at work")
)

// Ledger is the part of the store that a run compares with Ory. *sqlstore.Store
// implements it.
type Ledger interface {
	// Entries returns at most limit entries, ordered by identity. The page holds the
	// entries with IDs greater than the parameter after, up to and including upto. If after
	// or upto is empty, the page has no such bound.
	Entries(ctx context.Context, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error)

	// Digest returns the digest that the ledger would store for this identity.
	Digest(ctx context.Context, id symbolon.Identity) (string, error)

	// Findings returns open findings, ordered by identity and kind.
	Findings(ctx context.Context, q symbolon.FindingsQuery) ([]symbolon.Finding, error)

	// RecordFindings opens the findings in open and closes those in closed, in one
	// transaction. It skips findings that are open or closed already.
	RecordFindings(ctx context.Context, project string, source symbolon.Source, open, closed []symbolon.Finding) error

	// ErasureOf returns an identity's or a user's erasure that is under way, or else the
	// latest one. ErrNotFound: there is none.
	ErasureOf(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) (symbolon.Erasure, error)
}

// Reconciler compares and repairs. Linker, Ledger and Identities are required. Do not
// change the fields after the first run.
type Reconciler struct {
	// Linker makes every repair. It needs Ory's admin API.
	Linker *link.Linker

	// Ledger is the store that the Linker writes.
	Ledger Ledger

	// Runs stores the progress of runs with Repair and allows only one at a time.
	// Optional: without it two runs may overlap, which is safe but does the work twice,
	// and a killed run starts from the beginning.
	Runs Runs

	// Identities lists all identities through the admin API, ordered by ID. The listing
	// begins after the ID in the parameter from; if from is empty, it begins with the first
	// identity. An error ends the listing.
	Identities func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error]

	// Lease is how long a killed run blocks the next one, by the clock of Runs. An active run
	// renews its lease three times within this time. Defaults to 30 seconds.
	Lease time.Duration

	// Now defaults to time.Now.
	Now func() time.Time

	// paused is the run that this process paused last. It is kept because it has more than
	// its checkpoint: the findings, the first failure, and all marks. A run that resumes
	// from a checkpoint with more than maxKept marks starts its walk again. So if this field
	// did not exist, a large run in short slices would never end.
	paused atomic.Pointer[run]
}

// Options are the options of a run. The zero value compares everything and writes nothing.
type Options struct {
	// Repair repairs the kinds that [Repairs] reports, and records the other differences
	// as findings.
	Repair bool

	// Rebind also moves the user of an identity that is proved gone to the identity that
	// was recreated for it. Only the operator may decide that. It needs Repair.
	Rebind bool

	// Only limits the run to these kinds. Empty: all of [Kinds].
	Only []symbolon.FindingKind

	// AllowMissing is how many linked identities may be missing before the listing is
	// implausible. The operator raises it after a large deletion. Defaults to ten, or to
	// one percent of the linked identities if that is more.
	AllowMissing int

	// Resume continues an unfinished run with the options that it began with, except
	// Progress. If there is none, a new run begins. Without Resume an unfinished run is
	// recorded as failed, and a new run begins.
	Resume bool

	// ID is the ID of a new run. Defaults to a UUID.
	ID string

	// Progress is called after every few hundred identities, one call at a time.
	Progress func(Progress)
}

// Progress is how far a run has come.
type Progress struct {
	Phase       Phase
	Identities  int           // identities visited in this phase
	Differences int           // differences found in this phase
	Repaired    int           // repairs in this run
	Share       float64       // the share of the key space that this phase has visited, 0 to 1; it grows evenly because Ory's IDs are random
	Elapsed     time.Duration // time in this phase, since this process began or resumed the run
	Rate        float64       // identities a second in that time
	Left        time.Duration // estimated time until the end of the phase; 0: not known yet
}

// Finding is a difference between Ory, the ledger and the application's row.
type Finding struct {
	Kind     symbolon.FindingKind
	Identity symbolon.IdentityID
	User     symbolon.UserID // empty: the difference concerns no user
	Detail   string          // the two sides of the difference
	Repair   string          // what a repair does; empty: only the operator can repair it
}

func (f Finding) forLedger() symbolon.Finding {
	return symbolon.Finding{Kind: f.Kind, Identity: f.Identity, User: f.User, Detail: f.Detail}
}

// Report is the result of a run: the last comparison, and the repairs.
type Report struct {
	ID         string // the ID of the run; empty if the run was not recorded
	Identities int    // identities in Ory's listing
	Linked     int    // ledger entries with a living user, in the listing or not
	Forgotten  int    // identities whose user the application deleted; no finding

	// NoBackReference counts linked identities whose metadata at Ory does not name the
	// user. This is a finding only under the policy repair, because nothing depends on the
	// back-reference.
	NoBackReference int

	// Found counts the remaining differences by kind. Findings lists the first 10,000 of
	// those that this process found. If the run ended during a repair phase, both
	// describe the differences before the repairs.
	Found    map[symbolon.FindingKind]int
	Findings []Finding

	// Repaired counts the repairs of this run by the kind of the difference. Denied
	// counts refused repairs; each one is a finding now. Failed counts repairs that an
	// outage interrupted; the next run tries them again.
	Repaired       map[symbolon.FindingKind]int
	Denied, Failed int

	// Complete says that the last listing was complete and plausible. If it is false the
	// report covers only part of the identities.
	Complete bool
}

// Left is the number of remaining differences.
func (r Report) Left() (n int) {
	for _, k := range r.Found {
		n += k
	}
	return n
}

// Run compares all identities once, and repairs if Options.Repair is set. The report is
// filled in even if an error ended the run early. Errors: ErrIncomplete and
// ErrImplausible (nothing was changed, unless a later listing of the run failed),
// ErrBusy, ErrUnavailable, ErrNoAdmin. Remaining differences are not an error.
func (r *Reconciler) Run(ctx context.Context, o Options) (Report, error) {
	report, _, err := r.work(ctx, o, 0)
	return report, err
}

// Work continues the project's run with Repair, or begins a run. A call works
// for roughly the time in the parameter slice, and then pauses the run at the end of the
// current page or proof. done says that the run is over. Otherwise the next call continues
// it, in this process or another. The errors are those of Run. After an outage of Ory or
// the store the next call continues the run.
func (r *Reconciler) Work(ctx context.Context, o Options, slice time.Duration) (report Report, done bool, err error) {
	o.Repair, o.Resume = true, true
	return r.work(ctx, o, slice)
}

func (r *Reconciler) work(ctx context.Context, o Options, slice time.Duration) (Report, bool, error) {
	if !r.Linker.Ory.HasAdmin() {
		return Report{}, false, fmt.Errorf("reconcile: %w", symbolon.ErrNoAdmin)
	}
	run, err := r.begin(ctx, o)
	if err != nil {
		return Report{}, false, fmt.Errorf("reconcile: %w", err)
	}
	if slice > 0 {
		run.until = r.now().Add(slice)
	}
	err = run.runWithLease(ctx, run.all)
	report := run.report(err)
	if err == nil {
		err = run.repairErrors()
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
	return cmp.Or(r.Linker.Project, symbolon.DefaultProject)
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
