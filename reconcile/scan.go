package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/symbolon-id/symbolon"
)

// pageSize is how many identities, entries and findings are in memory at once.
const pageSize = 500

// visitor compares a page. The walk applies the returned function note to the state,
// together with its own progress.
type visitor func(ctx context.Context, pairs []pair) (note func(*state), err error)

// walk reads the listing and the ledger side by side, starting at the state's cursor, and
// calls visit with one page of pairs at a time. It reads each part of the ledger after the
// same part of the listing. So an identity that was just made and linked is found in both
// or only in the ledger, and never looks unlinked.
func (r *run) walk(ctx context.Context, visit visitor) error {
	if r.state.Done {
		return nil
	}
	last, seen := r.state.At, 0
	stretch := make([]symbolon.Identity, 0, pageSize)
	for id, err := range r.Identities(ctx, last) {
		if err != nil {
			return fmt.Errorf("%w after %d identities: %w", ErrIncomplete, seen, err)
		}
		if id.ID <= last {
			return fmt.Errorf("%w: identity %s came after %s", ErrIncomplete, id.ID, last)
		}
		last = id.ID
		seen++
		if stretch = append(stretch, id); len(stretch) < pageSize {
			continue
		}
		if err := r.visitStretch(ctx, visit, stretch, last); err != nil {
			return err
		}
		if r.pausing() {
			return errPaused
		}
		stretch = stretch[:0]
	}
	const theLast = symbolon.IdentityID("")
	if err := r.visitStretch(ctx, visit, stretch, theLast); err != nil {
		return err
	}
	r.note(func(s *state) { s.Done = true })
	return nil
}

// visitStretch reads the ledger up to the end of a part of the listing and calls visit for
// the pairs, page by page.
func (r *run) visitStretch(ctx context.Context, visit visitor, ids []symbolon.Identity, upto symbolon.IdentityID) error {
	for {
		page, err := r.read(ctx, upto)
		if err != nil {
			return err
		}
		n := len(ids)
		if !page.whole {
			n = countUpTo(ids, page.edge)
		}
		pairs, err := merge(ids[:n], page.entries, page.open)
		if err != nil {
			return err
		}
		note, err := visit(ctx, pairs)
		if err != nil {
			return err
		}
		r.note(func(s *state) {
			note(s)
			s.At = page.edge
		})
		if page.whole {
			return nil
		}
		ids = ids[n:]
	}
}

// ledgerPage is a page of the ledger: all entries and open findings after the cursor, up to edge.
type ledgerPage struct {
	entries []symbolon.Entry
	open    []symbolon.Finding
	edge    symbolon.IdentityID
	whole   bool // edge is the end of this part
}

func (r *run) read(ctx context.Context, upto symbolon.IdentityID) (p ledgerPage, err error) {
	at, project := r.state.At, r.project()
	if p.entries, err = r.Ledger.Entries(ctx, project, at, upto, pageSize+1); err != nil {
		return p, err
	}
	p.edge, p.whole = upto, true
	if len(p.entries) > pageSize { // the extra entry shows that more follow
		p.entries = p.entries[:pageSize]
		p.edge, p.whole = p.entries[pageSize-1].Link.Identity, false
	}
	p.open, err = r.Ledger.Findings(ctx, symbolon.FindingsQuery{Project: project, After: at, Upto: p.edge, Limit: pageSize})
	if err != nil || len(p.open) < pageSize {
		return p, err
	}
	last := p.open[len(p.open)-1].Identity // some of its findings may be missing
	n := slices.IndexFunc(p.open, func(f symbolon.Finding) bool { return f.Identity == last })
	if n == 0 {
		return p, fmt.Errorf("identity %s has too many open findings: %w", last, symbolon.ErrUnavailable)
	}
	p.open = p.open[:n]
	p.edge, p.whole = p.open[n-1].Identity, false
	p.entries = slices.DeleteFunc(p.entries, func(e symbolon.Entry) bool { return e.Link.Identity > p.edge })
	return p, nil
}

// countUpTo counts the identities up to and including last.
func countUpTo(ids []symbolon.Identity, last symbolon.IdentityID) (n int) {
	for n < len(ids) && ids[n].ID <= last {
		n++
	}
	return n
}

// merge joins three lists, each ordered by identity, into pairs.
func merge(ids []symbolon.Identity, entries []symbolon.Entry, open []symbolon.Finding) ([]pair, error) {
	out := make([]pair, 0, max(len(ids), len(entries)))
	for len(ids) > 0 || len(entries) > 0 || len(open) > 0 {
		if len(entries) > 1 && entries[0].Link.Identity >= entries[1].Link.Identity {
			return nil, fmt.Errorf("the ledger did not return its entries ordered by ID: %w", symbolon.ErrUnavailable)
		}
		id := least(ids, entries, open)
		p := pair{}
		if len(ids) > 0 && ids[0].ID == id {
			p.identity, ids = &ids[0], ids[1:]
		}
		if len(entries) > 0 && entries[0].Link.Identity == id {
			p.entry, entries = &entries[0], entries[1:]
		}
		n := 0
		for n < len(open) && open[n].Identity == id {
			n++
		}
		p.open, open = open[:n:n], open[n:]
		out = append(out, p)
	}
	return out, nil
}

// least returns the lowest ID of three ordered lists. At least one is not empty.
func least(ids []symbolon.Identity, entries []symbolon.Entry, open []symbolon.Finding) (id symbolon.IdentityID) {
	if len(ids) > 0 {
		id = ids[0].ID
	}
	if len(entries) > 0 && (id == "" || entries[0].Link.Identity < id) {
		id = entries[0].Link.Identity
	}
	if len(open) > 0 && (id == "" || open[0].Identity < id) {
		id = open[0].Identity
	}
	return id
}

// compareOne compares one identity that Ory has. closed are its open findings that no
// longer hold. All findings are of kinds that the run covers.
func (r *run) compareOne(ctx context.Context, p pair) (j comparison, closed []symbolon.Finding, err error) {
	digest := ""
	if p.state() == symbolon.Linked {
		if digest, err = r.Ledger.Digest(ctx, *p.identity); err != nil {
			return j, nil, err
		}
		p.unrecorded = r.Linker.AddressStale(*p.identity, p.entry.Address)
	}
	j = diff(p, digest, r.rules)
	if err = r.dropBeingErased(ctx, p, &j); err != nil {
		return j, nil, err
	}
	closed = resolved(p, j.findings, digest, r.rules)
	j.findings = slices.DeleteFunc(j.findings, func(f Finding) bool { return !r.options.wants(f.Kind) })
	return j, closed, nil
}

// dropBeingErased removes the finding IdentityReturned of an erased identity, unless Ory has
// the identity and no erasure is under way. An erasure denies the identity before it deletes
// it at Ory, so the listing may have an identity whose entry says erased already.
func (r *run) dropBeingErased(ctx context.Context, p pair, j *comparison) error {
	if p.state() != symbolon.Erased || p.isOpen(symbolon.IdentityReturned) != nil {
		return nil
	}
	returned, err := r.returned(ctx, p.identity.ID)
	if err != nil || returned {
		return err
	}
	j.findings = slices.DeleteFunc(j.findings, func(f Finding) bool { return f.Kind == symbolon.IdentityReturned })
	return nil
}

// returned reports whether Ory has an erased identity although no erasure is under way. It
// looks for the erasure first, and asks Ory afterwards. A complete erasure has read Ory's 404.
// So if Ory has the identity after that, the identity has come back.
func (r *run) returned(ctx context.Context, id symbolon.IdentityID) (bool, error) {
	switch e, err := r.Ledger.ErasureOf(ctx, r.project(), id, ""); {
	case err == nil && !e.Done():
		return false, nil
	case err != nil && !errors.Is(err, symbolon.ErrNotFound):
		return false, err
	}
	switch _, err := r.Linker.Ory.Identity(ctx, id); {
	case errors.Is(err, symbolon.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask Ory for the erased identity %s: %w", id, err)
	}
	return true, nil
}

// share is how much of the key space the walk has visited, 0 to 1. It grows evenly
// because Ory's IDs are random.
func (s *state) share() float64 {
	if s.Done {
		return 1
	}
	if len(s.At) < 8 {
		return 0
	}
	n, err := strconv.ParseUint(string(s.At[:8]), 16, 32)
	if err != nil {
		return 0
	}
	return float64(n) / (1 << 32)
}
