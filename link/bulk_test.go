package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
)

// bulkMemory is a memory that is also a BulkStore.
type bulkMemory struct {
	*memory
	calls [][]symbolon.IdentityID
	fail  error // returned after the first link
}

func (m *bulkMemory) CreateAll(_ context.Context, qs []symbolon.Query, decide func(int, symbolon.Evidence) symbolon.Plan) ([]symbolon.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]symbolon.Outcome, len(qs))
	if m.down {
		return out, symbolon.ErrUnavailable
	}
	var call []symbolon.IdentityID
	for n, q := range qs {
		call = append(call, q.Reading.Identity.ID)
		e := m.evidence(q)
		if e.Link != nil || e.Row != nil || slices.ContainsFunc(e.Claims, func(c symbolon.Claimed) bool { return c != symbolon.Claimed{} }) {
			continue
		}
		plan := decide(n, symbolon.Evidence{Claims: e.Claims})
		if plan.Action != symbolon.Create || plan.Conflict || len(plan.Findings) > 0 || plan.Retire != "" {
			continue
		}
		if m.fail != nil && len(m.links) > 0 {
			return out, m.fail
		}
		m.mu.Unlock()
		out[n], _ = m.Write(context.Background(), q, func(symbolon.Evidence) (symbolon.Plan, error) { return plan, nil })
		m.mu.Lock()
	}
	m.calls = append(m.calls, call)
	return out, nil
}

func crowd(ory *oryModel, n int) (readings []symbolon.Reading) {
	for i := range n {
		id := symbolon.Identity{ID: personID(n - i), State: symbolon.Active} // not in the order of their IDs
		ory.identities[id.ID] = id
		readings = append(readings, symbolon.Reading{Identity: id, Source: symbolon.FromReconcile, Admin: true})
	}
	return readings
}

func newOry() *oryModel {
	return &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{}}
}

// TestLinkAll checks that the results are in the order of the readings. A BulkStore gets
// batches in the order of the IDs, each ID once.
func TestLinkAll(t *testing.T) {
	for _, bulky := range []bool{true, false} {
		ory, plain := newOry(), newMemory(symbolon.ByMint)
		store := &bulkMemory{memory: plain}
		l := newTestLinker(ory, plain)
		if bulky {
			l = newTestLinker(ory, store)
		}
		var after atomic.Int64
		l.AfterLink = func(context.Context, symbolon.Link) { after.Add(1) }
		readings := crowd(ory, 1203)
		readings = append(readings, readings[7], symbolon.Reading{Identity: symbolon.Identity{ID: "x"}}, symbolon.Reading{Identity: symbolon.Identity{ID: "ABCDEF00-0000-4000-8000-000000000000"}})
		foreign := symbolon.Identity{ID: personID(5000), MetadataPublic: []byte(`{"id":"somebody's"}`)}
		ory.identities[foreign.ID] = foreign
		readings = append(readings, symbolon.Reading{Identity: foreign})
		out := l.LinkAll(t.Context(), readings)
		for i, r := range out {
			switch i {
			case 1204:
				if r.Err == nil {
					t.Error("an invalid ID was linked")
				}
			case 1205: // upper case: linked by Link
			default:
				if r.Err != nil || r.Link.Identity != readings[i].Identity.ID || plain.rows[r.Link.User] != readings[i].Identity.ID {
					t.Fatalf("%d: %+v", i, r)
				}
			}
		}
		if out[7].Link.User != out[1203].Link.User || after.Load() < 1204 {
			t.Errorf("twice in a list: %+v, %+v; AfterLink %d times", out[7], out[1203], after.Load())
		}
		if !bulky {
			continue
		}
		var order []symbolon.IdentityID
		for _, call := range store.calls {
			if len(call) > batchSize {
				t.Errorf("%d at once", len(call))
			}
			order = append(order, call...)
		}
		if !slices.IsSorted(order) || len(slices.Compact(order)) != 1204 {
			t.Errorf("%d IDs, sorted: %v", len(order), slices.IsSorted(order))
		}
	}
}

// TestLinkAllWhenTheStoreFails checks that after a failure the first link is kept and no
// other identity is tried.
func TestLinkAllWhenTheStoreFails(t *testing.T) {
	ory := newOry()
	store := &bulkMemory{memory: newMemory(symbolon.ByMint), fail: fmt.Errorf("gone: %w", symbolon.ErrUnavailable)}
	linked, failed := 0, 0
	for _, r := range newTestLinker(ory, store).LinkAll(t.Context(), crowd(ory, 700)) {
		switch {
		case r.Err == nil:
			linked++
		case errors.Is(r.Err, symbolon.ErrUnavailable):
			failed++
		}
	}
	if linked != 1 || failed != 699 || len(store.links) != 1 {
		t.Errorf("%d linked, %d failed, %d in the ledger", linked, failed, len(store.links))
	}
}

// TestLinkAllGivesUp checks that without a BulkStore, LinkAll ends after maxUnavailable
// failures in a row.
func TestLinkAllGivesUp(t *testing.T) {
	ory := newOry()
	store := &countingStore{memory: newMemory(symbolon.ByMint)}
	store.down = true
	for _, r := range newTestLinker(ory, store).LinkAll(t.Context(), crowd(ory, 300)) {
		if !errors.Is(r.Err, symbolon.ErrUnavailable) {
			t.Fatalf("got %v", r.Err)
		}
	}
	if n := store.reads.Load(); n < maxUnavailable || n > maxUnavailable+workers {
		t.Errorf("tried %d times", n)
	}
}

// countingStore counts the calls of Read.
type countingStore struct {
	*memory
	reads atomic.Int64
}

func (c *countingStore) Read(ctx context.Context, q symbolon.Query) (symbolon.Evidence, error) {
	c.reads.Add(1)
	return c.memory.Read(ctx, q)
}

// arriveTogether links all identities that Ory has, by one LinkAll.
func (w *world) arriveTogether(t *rapid.T) {
	l := w.linkerOn(&bulkMemory{memory: w.store})
	var readings []symbolon.Reading
	for n := 1; n <= w.next; n++ {
		if id, alive := w.ory.identities[personID(n)]; alive {
			readings = append(readings, symbolon.Reading{Identity: id, Source: symbolon.FromReconcile, Admin: w.ory.admin})
		}
	}
	for i, r := range l.LinkAll(context.Background(), readings) {
		w.checkAnswer(t, readings[i].Identity.ID, r.Link, r.Err)
	}
}

// linkerOn returns the world's linker on another store.
func (w *world) linkerOn(store symbolon.Store) *Linker {
	l := w.linker
	return &Linker{Ory: l.Ory, Store: store, Secrets: l.Secrets, Log: l.Log, BackReference: l.BackReference, Now: l.Now,
		OnUserDeleted: l.OnUserDeleted, Creator: &oneByOne{creator: l.Creator}}
}

// oneByOne is a Creator that answers one call at a time.
type oneByOne struct {
	mu      sync.Mutex
	creator symbolon.Creator
}

func (o *oneByOne) Create(ctx context.Context, id symbolon.Identity) (symbolon.UserID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.creator.Create(ctx, id)
}
