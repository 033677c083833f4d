package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/symbolon-id/symbolon"
)

// look compares all identities. In phase Settling it records the remaining differences;
// in phase Looking it writes nothing.
func (r *run) look(ctx context.Context) error {
	if err := r.walk(ctx, r.compare); err != nil {
		return err
	}
	var err error
	r.note(func(s *state) { err = r.checkListing(s) })
	if err != nil || r.state.Phase != Settling {
		return err
	}
	var open []symbolon.Finding
	for _, a := range r.state.Missing {
		if !a.Open {
			open = append(open, a.forLedger())
		}
	}
	for chunk := range slices.Chunk(open, pageSize) {
		if err := r.Ledger.RecordFindings(ctx, r.project(), symbolon.FromReconcile, chunk, nil); err != nil {
			return err
		}
	}
	return nil
}

// compare is the visitor of look.
func (r *run) compare(ctx context.Context, pairs []pair) (func(*state), error) {
	v := view{run: r, tally: tally{Found: map[symbolon.FindingKind]int{}}}
	for _, p := range pairs {
		if err := v.see(ctx, p); err != nil {
			return nil, err
		}
	}
	if r.state.Phase == Settling {
		if err := r.stillPlausible(v.Absent); err != nil {
			return nil, err
		}
		if err := r.Ledger.RecordFindings(ctx, r.project(), symbolon.FromReconcile, v.open, v.closed); err != nil {
			return nil, err
		}
	}
	return v.note, nil
}

// view is the result of comparing one page.
type view struct {
	*run
	tally
	findings     []Finding
	missing      []absence
	control      symbolon.IdentityID
	open, closed []symbolon.Finding // to be recorded
}

func (v *view) see(ctx context.Context, p pair) error {
	if p.bound() {
		v.Linked++
	}
	if p.identity == nil {
		v.seeMissing(p)
		return nil
	}
	v.Identities++
	j, closed, err := v.compareOne(ctx, p)
	if err != nil {
		return err
	}
	v.closeFindings(closed)
	v.findings = append(v.findings, j.findings...)
	for _, f := range j.findings {
		v.Found[f.Kind]++
		waits := f.Kind == UnlinkedIdentity && v.Linker.Waits(*p.identity) // one finding of the project says so
		if p.isOpen(f.Kind) == nil && !waits {
			v.open = append(v.open, f.forLedger())
			v.Changes++
		}
	}
	if j.noBackReference {
		v.NoBackReference++
	}
	switch p.state() {
	case symbolon.Forgotten:
		v.Forgotten++
	case symbolon.Linked, symbolon.Also:
		v.Matched++
		v.control = p.identity.ID
	case "", symbolon.OnHold:
		return v.noteClaims(ctx, p)
	}
	return nil
}

// noteClaims is for an identity without a user. Such an identity may claim another
// identity's user, and noteClaims notes that other identity. As long as the claim stays,
// the other identity is treated as moved, not as missing. An identity whose user the operator
// took away still claims that user, and this explains nothing.
func (v *view) noteClaims(ctx context.Context, p pair) error {
	if p.state() == symbolon.OnHold && p.entry.Link.Reason == symbolon.Moved {
		return nil
	}
	users := claimedUsers(p.identity, v.rules.key)
	if len(users) == 0 {
		return nil
	}
	q := symbolon.Query{Project: v.project(), Reading: symbolon.Reading{Identity: *p.identity}, Claims: users}
	held, err := v.Linker.Store.Read(ctx, q)
	if err != nil {
		return err
	}
	for i, c := range held.Claims {
		owner := c.Owner()
		if owner == "" || owner == p.identity.ID {
			continue
		}
		v.ClaimedMarks = addMark(v.ClaimedMarks, owner)
		if v.minter.Minted(users[i]) {
			v.MintedMarks = addMark(v.MintedMarks, owner)
		}
		if v.control == "" {
			v.control = p.identity.ID
		}
	}
	return nil
}

// slack is how far the clock of the process that made a link may be behind ours.
const slack = time.Minute

// seeMissing notes an entry that is not in the listing. Links made during the walk are
// skipped, because their identities may lie before the cursor.
func (v *view) seeMissing(p pair) {
	v.closeFindings(resolved(p, nil, "", v.rules))
	if p.entry == nil || v.madeDuringWalk(p) {
		return
	}
	f, ok := missingFinding(p)
	if !ok {
		return
	}
	if f.Kind == OrphanUser {
		v.Absent++
		v.AbsentMarks = addMark(v.AbsentMarks, f.Identity)
	}
	if v.options.wants(f.Kind) {
		v.missing = append(v.missing, absence{Finding: f, Open: p.isOpen(f.Kind) != nil, Held: p.state() == symbolon.OnHold})
	}
}

// madeDuringWalk says that a link or a hold was made during this walk.
func (r *run) madeDuringWalk(p pair) bool {
	recent := p.bound() || p.state() == symbolon.OnHold
	return recent && p.entry.Link.At.After(r.state.Began.Add(-slack))
}

func (v *view) closeFindings(findings []symbolon.Finding) {
	for _, f := range findings {
		if v.options.wants(f.Kind) {
			v.closed = append(v.closed, f)
			v.Changes++
		}
	}
}

// note adds the page to the state.
func (v *view) note(s *state) {
	t := &s.Walk
	t.Identities += v.Identities
	t.Linked += v.Linked
	t.Forgotten += v.Forgotten
	t.NoBackReference += v.NoBackReference
	t.Matched += v.Matched
	t.Absent += v.Absent
	t.Changes += v.Changes
	t.Met += len(v.findings) + len(v.missing)
	for _, m := range []struct{ to, from *[]uint64 }{{&t.AbsentMarks, &v.AbsentMarks}, {&t.ClaimedMarks, &v.ClaimedMarks}, {&t.MintedMarks, &v.MintedMarks}} {
		*m.to = append(*m.to, (*m.from)[:min(len(*m.from), maxMarks-len(*m.to))]...)
	}
	for kind, n := range v.Found {
		t.Found[kind] += n
	}
	s.Missing = append(s.Missing, v.missing[:min(len(v.missing), maxKept-len(s.Missing))]...)
	if v.Matched > 0 || s.Control == "" {
		s.Control = v.control
	}
	v.run.findings = append(v.run.findings, v.findings[:min(len(v.findings), maxKept-len(v.run.findings))]...)
}

// limit is how many linked identities may be missing without an explanation.
func (s *state) limit(t *tally) int {
	return max(10, (t.Matched+t.Absent)/100, s.Options.AllowMissing)
}

// Later walks call stillPlausible before they change anything for a page. It returns an
// error if the listing lacks many more identities than the first listing. absent is the
// number of absent identities on the page.
func (r *run) stillPlausible(absent int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	if n := s.Walk.Absent + absent; n > s.Looked.Absent+s.limit(&s.Looked) {
		return fmt.Errorf("%w: the second listing lacks %d linked identities that the first one had", ErrImplausible, n-s.Looked.Absent)
	}
	return nil
}

// checkListing checks that the complete listing is plausible. Only then the missing
// identities are counted as differences.
func (r *run) checkListing(s *state) error {
	if s.Believed {
		return nil
	}
	t := &s.Walk
	moved := both(t.AbsentMarks, t.MintedMarks)
	if len(t.ClaimedMarks) >= maxMarks {
		moved = 0
	}
	unexplained, allowed := t.Absent-moved, s.Options.AllowMissing
	if unexplained > s.limit(t) || unexplained > allowed && t.Matched+moved == 0 {
		return fmt.Errorf("%w: of %d linked identities %d are not in it", ErrImplausible, t.Matched+t.Absent, unexplained)
	}
	claimed := sorted(t.ClaimedMarks)
	s.Missing = slices.DeleteFunc(s.Missing, func(a absence) bool {
		_, found := slices.BinarySearch(claimed, mark(a.Identity))
		return found || len(claimed) >= maxMarks || a.Held && s.Control == "" // a proof needs a control
	})
	for _, a := range s.Missing {
		t.Found[a.Kind]++
		if !a.Open {
			t.Changes++
		}
		if len(r.findings) < maxKept {
			r.findings = append(r.findings, a.Finding)
		}
	}
	if n := t.Absent - both(t.AbsentMarks, t.ClaimedMarks); t.Found[OrphanUser] > 0 && len(claimed) < maxMarks {
		t.Found[OrphanUser] = max(n, t.Found[OrphanUser]) // also those that are not kept because of maxKept
	}
	s.Believed = true
	return nil
}
