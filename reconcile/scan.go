package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/symbolon-id/symbolon"
)

// pageSize is how many identities, entries and findings of a shard are in memory at
// once.
const pageSize = 500

// visitor compares a page. What it returns is noted together with how far the scan
// has come.
type visitor func(ctx context.Context, pairs []pair) (note func(*state), err error)

// walk has everybody visited who was not yet, all shards at once.
func (r *run) walk(ctx context.Context, visit visitor) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(r.state.Shards))
	var wg sync.WaitGroup
	for i := range r.state.Shards {
		s := &scan{run: r, shard: &r.state.Shards[i], visit: visit}
		if s.shard.Done {
			continue
		}
		wg.Go(func() {
			if errs[i] = s.walk(ctx); errs[i] != nil && !errors.Is(errs[i], errPaused) {
				cancel()
			}
		})
	}
	wg.Wait()
	return worst(errs)
}

// worst is the error that the others follow from.
func worst(errs []error) (out error) {
	rank := func(err error) int {
		switch {
		case err == nil:
			return 0
		case errors.Is(err, errPaused):
			return 1
		case errors.Is(err, context.Canceled):
			return 2
		}
		return 3
	}
	for _, err := range errs {
		if rank(err) > rank(out) {
			out = err
		}
	}
	return out
}

// shard is a stretch of the key space: behind From, up to and including To.
type shard struct {
	From symbolon.IdentityID `json:"from,omitempty"`
	To   symbolon.IdentityID `json:"to,omitempty"`
	At   symbolon.IdentityID `json:"at,omitempty"` // everybody up to here was visited
	Done bool                `json:"done,omitempty"`
}

// shards cuts the key space into n stretches of one size.
func shards(n int) []shard {
	n = min(max(n, 1), maxShards)
	out := make([]shard, n)
	for i := range n - 1 {
		edge := symbolon.IdentityID(fmt.Sprintf("%08x-0000-0000-0000-000000000000", uint64(i+1)<<32/uint64(n)))
		out[i].To, out[i+1].From, out[i+1].At = edge, edge, edge
	}
	return out
}

const maxShards = 64

// scan walks the listing and the ledger of a shard side by side. The ledger is read
// behind the listing, stretch by stretch: an identity that was made and linked a moment
// ago is found in both or in the ledger alone, and never looks unlinked.
type scan struct {
	*run
	shard *shard
	visit visitor
}

func (s *scan) walk(ctx context.Context) error {
	last, seen := s.shard.At, 0
	stretch := make([]symbolon.Identity, 0, pageSize)
	for id, err := range s.Identities(ctx, s.shard.At, s.shard.To) {
		if err != nil {
			return fmt.Errorf("%w after %d identities: %w", ErrIncomplete, seen, err)
		}
		if s.shard.To != "" && id.ID > s.shard.To {
			break
		}
		if id.ID <= last {
			return fmt.Errorf("%w: identity %s came behind %s", ErrIncomplete, id.ID, last)
		}
		last = id.ID
		seen++
		if stretch = append(stretch, id); len(stretch) < pageSize {
			continue
		}
		if err := s.compare(ctx, stretch, last); err != nil {
			return err
		}
		if s.pausing() {
			return errPaused
		}
		stretch = stretch[:0]
	}
	if err := s.compare(ctx, stretch, s.shard.To); err != nil {
		return err
	}
	s.note(func(*state) { s.shard.Done = true })
	return nil
}

// compare reads the ledger up to where the listing came and has the pairs visited.
func (s *scan) compare(ctx context.Context, ids []symbolon.Identity, upto symbolon.IdentityID) error {
	for whole := false; !whole; {
		var entries []symbolon.Entry
		var open []symbolon.Finding
		var edge symbolon.IdentityID
		var err error
		if entries, open, edge, whole, err = s.read(ctx, upto); err != nil {
			return err
		}
		n := len(ids)
		if !whole {
			n = before(ids, edge)
		}
		pairs, err := merge(ids[:n], entries, open)
		if err != nil {
			return err
		}
		note, err := s.visit(ctx, pairs)
		if err != nil {
			return err
		}
		ids = ids[n:]
		s.note(func(st *state) {
			note(st)
			s.shard.At = edge
		})
	}
	return nil
}

// read returns a page of entries and the open findings beside it: all of both up to
// edge.
func (s *scan) read(ctx context.Context, upto symbolon.IdentityID) (entries []symbolon.Entry, open []symbolon.Finding, edge symbolon.IdentityID, whole bool, err error) {
	at, project := s.shard.At, s.project()
	if entries, err = s.Ledger.Entries(ctx, project, at, upto, pageSize+1); err != nil {
		return nil, nil, "", false, err
	}
	edge, whole = upto, true
	if len(entries) > pageSize { // one more than is looked at says that more follows
		entries = entries[:pageSize]
		edge, whole = entries[pageSize-1].Link.Identity, false
	}
	open, err = s.Ledger.Findings(ctx, symbolon.FindingsQuery{Project: project, After: at, Upto: edge, Limit: pageSize})
	if err != nil || len(open) < pageSize {
		return entries, open, edge, whole, err
	}
	cut := len(open) // the last identity's may not be all there
	for cut > 0 && open[cut-1].Identity == open[len(open)-1].Identity {
		cut--
	}
	if cut == 0 {
		return nil, nil, "", false, fmt.Errorf("identity %s has too many open findings: %w", open[0].Identity, symbolon.ErrUnavailable)
	}
	open, edge = open[:cut], open[cut-1].Identity
	n := 0
	for n < len(entries) && entries[n].Link.Identity <= edge {
		n++
	}
	return entries[:n], open, edge, false, nil
}

// before counts the identities up to and including last.
func before(ids []symbolon.Identity, last symbolon.IdentityID) (n int) {
	for n < len(ids) && ids[n].ID <= last {
		n++
	}
	return n
}

// merge joins three ordered lists.
func merge(ids []symbolon.Identity, entries []symbolon.Entry, open []symbolon.Finding) ([]pair, error) {
	out := make([]pair, 0, max(len(ids), len(entries)))
	for i, e := 0, 0; i < len(ids) || e < len(entries) || len(open) > 0; {
		if e+1 < len(entries) && entries[e].Link.Identity >= entries[e+1].Link.Identity {
			return nil, fmt.Errorf("the ledger is not read in the order of IDs: %w", symbolon.ErrUnavailable)
		}
		id := least(ids[i:], entries[e:], open)
		var p pair
		if i < len(ids) && ids[i].ID == id {
			p.identity = &ids[i]
			i++
		}
		if e < len(entries) && entries[e].Link.Identity == id {
			p.entry = &entries[e]
			e++
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

// least is the first ID of the three lists, of which one is not empty.
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

// judge compares one identity that Ory has.
func (r *run) judge(ctx context.Context, p pair) (j judgement, closed []symbolon.Finding, err error) {
	digest := ""
	if p.state() == symbolon.Linked {
		if digest, err = r.Ledger.Digest(ctx, *p.identity); err != nil {
			return j, nil, err
		}
	}
	j = diff(p, digest, r.rules)
	closed = over(p, j.findings, digest, r.rules)
	return j, closed, nil
}

// share is how much of the shard's stretch was visited, 0 to 1: even, as long as Ory's
// IDs are random.
func (s shard) share() float64 {
	if s.Done {
		return 1
	}
	place := func(id symbolon.IdentityID, none float64) float64 {
		if len(id) < 8 {
			return none
		}
		n, err := strconv.ParseUint(string(id[:8]), 16, 32)
		if err != nil {
			return none
		}
		return float64(n) / (1 << 32)
	}
	from, to := place(s.From, 0), place(s.To, 1)
	if to <= from {
		return 0
	}
	return max(0, place(s.At, from)-from) / (to - from)
}
