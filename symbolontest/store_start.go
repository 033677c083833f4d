package symbolontest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

// testStart checks that the start of a project whose table is empty is settled at once, and
// that it stays as it is.
func testStart(w *world) {
	start := w.start()
	if !start.Settled() || start.SettledBy != "no_rows" || time.Since(start.CreatedAt).Abs() > time.Hour {
		w.Fatalf("an empty table: %+v", start)
	}
	if !w.OneColumn {
		w.InsertUser("") // too late to matter
	}
	again, err := w.Again().Start(w.ctx, "default")
	w.must(err)
	same(w, "start of another process", again, start)
	settled, err := w.Store.Settle(w.ctx, "default", "start_fresh")
	w.must(err)
	same(w, "start that is settled again", settled, start)
	for _, by := range []string{"", "Start", "a b"} {
		if _, err := w.Store.Settle(w.ctx, "other", by); err == nil {
			w.Errorf("settled by %q", by)
		}
	}
	if _, err := w.Store.Start(w.ctx, ""); err == nil {
		w.Error("a project without a name has a start")
	}
}

// unsettled returns a Linker of another project, which starts on a table with a user that has
// no identity. It returns nil if the table cannot have one.
func (w *world) unsettled() *link.Linker {
	w.Helper()
	if w.OneColumn || w.Store.NewID() == symbolon.ByApplication {
		return nil
	}
	w.InsertUser("")
	l := w.newLinker(w.Store, w.secret)
	l.Project = "late"
	return l
}

// testStartWithUsers checks who gets a user while the start is not settled.
func testStartWithUsers(w *world) {
	l := w.unsettled()
	if l == nil {
		return
	}
	old, young := w.identity("old@example.com"), w.identity("young@example.com")
	young.CreatedAt = time.Now().Add(time.Hour)
	w.ory.put(young)
	before := len(w.Users())
	for range 2 {
		_, err := l.Link(w.ctx, seen(old))
		w.wantErr(err, symbolon.ErrOnHold)
		if denied, ok := errors.AsType[*symbolon.DenyError](err); !ok || denied.Finding != symbolon.NotAdopted {
			w.Fatalf("an identity that is older than the ledger: %v", err)
		}
	}
	same(w, "users", len(w.Users()), before)
	h, err := w.Store.Read(w.ctx, symbolon.Query{Project: "late", Reading: seen(old)})
	w.must(err)
	if h.Link != nil {
		w.Fatalf("something was written about an identity that waits: %+v", h.Link)
	}
	for _, r := range l.LinkAll(w.ctx, []symbolon.Reading{{Identity: old, Source: symbolon.FromReconcile, Admin: true}}) {
		w.wantErr(r.Err, symbolon.ErrOnHold)
	}
	if _, err := l.Link(w.ctx, seen(young)); err != nil {
		w.Fatalf("an identity that is younger than the ledger: %v", err)
	}
	if w.Store.NewID() == symbolon.ByMint {
		_, err := l.Link(w.ctx, seen(w.carrying(link.Reservation{User: l.Mint()})))
		w.must(err)
	}
	guest := w.InsertUser("")
	voucher, err := l.Voucher(guest)
	w.must(err)
	invited := w.identity("guest@example.com")
	invited.MetadataAdmin = fmt.Appendf(nil, `{"symbolon":{"user":%q,"proof":%q}}`, voucher.User, voucher.Proof)
	w.ory.put(invited)
	bond, err := l.Link(w.ctx, seen(symbolon.Identity{ID: invited.ID, CreatedAt: invited.CreatedAt})) // whoami does not show the voucher
	w.must(err)
	same(w, "user of the voucher", bond.User, guest)

	w.must(l.StartFresh(w.ctx))
	_, err = l.Link(w.ctx, seen(old))
	w.must(err)
	start, err := w.Store.Start(w.ctx, "late")
	w.must(err)
	same(w, "settled by", start.SettledBy, "start_fresh")
}

// testStartRaces starts a project in several processes at once.
func testStartRaces(w *world) {
	stores := []symbolon.Store{w.Store, w.Again(), w.Again()}
	starts := make([]symbolon.Start, 12)
	var wg sync.WaitGroup
	for i := range starts {
		wg.Go(func() {
			var err error
			if starts[i], err = stores[i%len(stores)].Start(w.ctx, "late"); err != nil {
				w.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range starts {
		same(w, "start", s, starts[0])
	}
}

// testSettleRaces settles the start in one process while requests run in another. Nobody gets
// two users, and soon everybody has one.
func testSettleRaces(w *world) {
	l := w.unsettled()
	if l == nil {
		return
	}
	ids := make([]symbolon.Identity, 8)
	for i := range ids {
		ids[i] = w.identity("")
	}
	before := len(w.Users())
	var linked atomic.Int32
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
				_, err := l.Link(w.ctx, seen(id))
				if err == nil {
					linked.Add(1)
					return
				}
				if !errors.Is(err, symbolon.ErrOnHold) && !errors.Is(err, symbolon.ErrUnavailable) {
					w.Error(err)
					return
				}
			}
		})
	}
	other := w.newLinker(w.Again(), w.secret)
	other.Project = "late"
	err := other.StartFresh(w.ctx)
	for tries := 0; errors.Is(err, symbolon.ErrUnavailable) && tries < 5; tries++ {
		err = other.StartFresh(w.ctx)
	}
	wg.Wait()
	w.must(err)
	same(w, "linked", int(linked.Load()), len(ids))
	same(w, "users", len(w.Users()), before+len(ids))
}
