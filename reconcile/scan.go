package reconcile

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/symbolon-id/symbolon"
)

// pageSize is how many identities, and how many entries, are in memory at once.
const pageSize = 500

// pair is an identity and what the ledger has of it. One of the two may be nil.
type pair struct {
	identity *symbolon.Identity
	entry    *symbolon.Entry
}

// scan walks the listing and the ledger side by side. The ledger is read behind the
// listing, stretch by stretch: an identity that was made and linked a moment ago is
// found in both or in the ledger alone, and never looks unlinked.
type scan struct {
	*run
	visit func(ctx context.Context, pairs []pair) error

	began  time.Time
	phase  Phase
	at     symbolon.IdentityID // how far the ledger was read
	last   symbolon.IdentityID // how far the listing was
	seen   int
	differ int
}

func (s *scan) walk(ctx context.Context) error {
	s.began = s.now()
	stretch := make([]symbolon.Identity, 0, pageSize)
	for id, err := range s.Identities(ctx) {
		if err != nil {
			return fmt.Errorf("%w after %d identities: %w", ErrIncomplete, s.seen, err)
		}
		if id.ID <= s.last {
			return fmt.Errorf("%w: identity %s came behind %s", ErrIncomplete, id.ID, s.last)
		}
		s.last = id.ID
		s.seen++
		if stretch = append(stretch, id); len(stretch) < pageSize {
			continue
		}
		if err := s.compare(ctx, stretch, s.last); err != nil {
			return err
		}
		stretch = stretch[:0]
	}
	if err := s.compare(ctx, stretch, ""); err != nil {
		return err
	}
	s.tell(1)
	return nil
}

// compare reads the ledger up to where the listing came and has the pairs visited.
func (s *scan) compare(ctx context.Context, ids []symbolon.Identity, upto symbolon.IdentityID) error {
	for {
		entries, err := s.Ledger.Entries(ctx, s.project(), s.at, upto, pageSize)
		if err != nil {
			return err
		}
		whole := len(entries) < pageSize
		n := len(ids)
		if !whole {
			s.at = entries[len(entries)-1].Link.Identity
			n = before(ids, s.at)
		}
		pairs, err := merge(ids[:n], entries)
		if err != nil {
			return err
		}
		if err := s.visit(ctx, pairs); err != nil {
			return err
		}
		if ids = ids[n:]; whole {
			s.at = upto
			s.tell(share(upto))
			return nil
		}
	}
}

// before counts the identities up to and including last.
func before(ids []symbolon.Identity, last symbolon.IdentityID) (n int) {
	for n < len(ids) && ids[n].ID <= last {
		n++
	}
	return n
}

// merge joins two ordered lists.
func merge(ids []symbolon.Identity, entries []symbolon.Entry) ([]pair, error) {
	out := make([]pair, 0, max(len(ids), len(entries)))
	for i, e := 0, 0; i < len(ids) || e < len(entries); {
		if e+1 < len(entries) && entries[e].Link.Identity >= entries[e+1].Link.Identity {
			return nil, fmt.Errorf("the ledger is not read in the order of IDs: %w", symbolon.ErrUnavailable)
		}
		switch {
		case e == len(entries) || i < len(ids) && ids[i].ID < entries[e].Link.Identity:
			out = append(out, pair{identity: &ids[i]})
			i++
		case i == len(ids) || entries[e].Link.Identity < ids[i].ID:
			out = append(out, pair{entry: &entries[e]})
			e++
		default:
			out = append(out, pair{&ids[i], &entries[e]})
			i, e = i+1, e+1
		}
	}
	return out, nil
}

// judge compares one identity that Ory has.
func (r *run) judge(ctx context.Context, p pair) (judgement, error) {
	digest := ""
	if p.entry != nil && p.entry.Link.State == symbolon.Linked {
		var err error
		if digest, err = r.Ledger.Digest(ctx, *p.identity); err != nil {
			return judgement{}, err
		}
	}
	j := diff(*p.identity, p.entry, digest, r.Linker.BackReference.WithDefaults().Key)
	j.findings = r.options.wanted(j.findings)
	return j, nil
}

func (s *scan) tell(share float64) {
	if s.options.Progress != nil {
		s.options.Progress(Progress{Phase: s.phase, Identities: s.seen, Differences: s.differ, Mended: s.done, Share: share,
			Elapsed: s.now().Sub(s.began)})
	}
}

// share is where an ID lies among all there could be.
func share(id symbolon.IdentityID) float64 {
	if len(id) < 8 {
		return 1
	}
	n, err := strconv.ParseUint(string(id[:8]), 16, 32)
	if err != nil {
		return 0
	}
	return float64(n) / (1 << 32)
}
