package adopt_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/link"
)

// endless returns a given number of users without an identity, and stores none of them.
type endless struct {
	adopt.Ledger
	adopt.Users
	symbolon.Store
	n int
}

func (e endless) NewID() symbolon.NewID { return symbolon.ByDatabase }

func (e endless) Entries(context.Context, string, symbolon.IdentityID, symbolon.IdentityID, int) ([]symbolon.Entry, error) {
	return nil, nil
}

func (e endless) UserRows(_ context.Context, _ string, after symbolon.UserID, _ string, limit int) (out []symbolon.UserRow, err error) {
	for n := atoi(string(after)) + 1; n <= e.n && len(out) < limit; n++ {
		out = append(out, symbolon.UserRow{Row: symbolon.Row{ID: symbolon.UserID(fmt.Sprintf("%036d", n))}, Email: fmt.Sprintf("p%d@example.org", n), Checked: true})
	}
	return out, nil
}

func (e endless) list(context.Context) iter.Seq2[symbolon.Identity, error] {
	return func(yield func(symbolon.Identity, error) bool) {
		for n := range e.n {
			id := symbolon.Identity{ID: identityID(n), ExternalID: fmt.Sprintf("%036d", n+1),
				Addresses: []symbolon.Address{{Value: fmt.Sprintf("p%d@example.org", n+1), Via: "email", Verified: true}}}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// TestMemory measures the memory of a large plan whose keys are as long as UUIDs. One
// plan finds the users by external_id, the other by e-mail. The memory must be as the
// package documents it.
func TestMemory(t *testing.T) {
	const n = 100_000
	for name, tt := range map[string]struct {
		options adopt.Options
		most    int // maximum bytes per pair
	}{"by place": {adopt.Options{By: []symbolon.Proof{symbolon.ByExternalID}}, 500}, "by e-mail": {adopt.Options{Email: true}, 600}} {
		e := endless{n: n}
		a := &adopt.Adopter{Linker: &link.Linker{Ory: &people{}, Store: e, Secrets: secrets}, Ledger: e, Users: e, Identities: e.list}
		before, lines, most := heap(), 0, 0
		counts, err := a.Plan(t.Context(), tt.options, func(adopt.Line) error {
			if lines++; lines == 1 { // now all memory of the plan is in use
				most = heap() - before
			}
			return nil
		})
		if err != nil || counts.Bind != n || lines != n {
			t.Fatalf("%+v %v", counts, err)
		}
		t.Logf("%s: %d bytes per pair", name, most/n)
		if most/n > tt.most {
			t.Errorf("%s: %d bytes per pair", name, most/n)
		}
	}
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
