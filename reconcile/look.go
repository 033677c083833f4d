package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
)

// look compares everybody and writes nothing.
func (r *run) look(ctx context.Context) (Report, error) {
	l := &looker{run: r, report: r.stamp(Report{Found: map[symbolon.FindingKind]int{}})}
	l.scan = scan{run: r, phase: Looking, visit: l.visit}
	err := l.scan.walk(ctx)
	if err == nil {
		err = l.judgeMissing()
	}
	l.report.Identities, l.report.Complete = l.scan.seen, err == nil
	return l.report, err
}

type looker struct {
	*run
	scan    scan
	report  Report
	matched int       // linked identities that the listing has
	missing []Finding // those that it has not, the first of them
	absent  int       // how many those are
}

func (l *looker) visit(ctx context.Context, pairs []pair) error {
	for _, p := range pairs {
		if p.entry != nil && p.entry.Link.State == symbolon.Linked {
			l.report.Linked++
		}
		if p.identity == nil {
			l.miss(p.entry)
			continue
		}
		j, err := l.judge(ctx, p)
		if err != nil {
			return err
		}
		l.count(p.entry, j)
		l.found(j.findings)
	}
	return nil
}

func (l *looker) count(e *symbolon.Entry, j judgement) {
	if j.noBackReference {
		l.report.NoBackReference++
	}
	switch {
	case e == nil:
	case e.Link.State == symbolon.Forgotten:
		l.report.Forgotten++
	case e.Link.State == symbolon.Linked:
		l.matched++
	}
}

func (l *looker) found(findings []Finding) {
	for _, f := range findings {
		l.scan.differ++
		l.report.Found[f.Kind]++
		if len(l.report.Findings) < keep {
			l.report.Findings = append(l.report.Findings, f)
		}
	}
}

// slack is how far the clock of whoever made a link may be behind ours.
const slack = time.Minute

// miss notes a linked identity that the listing does not have. Links made while it ran
// are passed over: their identities may lie behind the cursor.
func (l *looker) miss(e *symbolon.Entry) {
	if e.Link.State != symbolon.Linked || e.Link.At.After(l.scan.began.Add(-slack)) {
		return
	}
	if l.absent++; len(l.missing) < keep {
		l.missing = append(l.missing, Finding{Kind: IdentityMissing, Identity: e.Link.Identity, User: e.Link.User,
			Detail: fmt.Sprintf("the ledger binds it to user %s, and Ory's listing does not have it; nothing is done about it without proof", e.Link.User)})
	}
}

// judgeMissing says whether the whole listing can be believed, and only then that
// somebody is missing in it.
func (l *looker) judgeMissing() error {
	limit := max(10, (l.matched+l.absent)/100, l.options.AllowMissing)
	if l.absent > limit || l.absent > l.options.AllowMissing && l.matched == 0 {
		return fmt.Errorf("%w: of %d linked identities %d are not in it", ErrImplausible, l.matched+l.absent, l.absent)
	}
	named := l.options.wanted(l.missing)
	l.found(named)
	if len(named) > 0 {
		l.report.Found[IdentityMissing] = l.absent // all of them, named or not
	}
	return nil
}
