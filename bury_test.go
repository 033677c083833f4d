package symbolon

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestDecideBury: what becomes of an entry and of a row when the identity is over.
func TestDecideBury(t *testing.T) {
	seen := Seen{Identity: Identity{ID: alice}}
	entry := func(state LinkState, user UserID) *Link { return &Link{Identity: alice, State: state, User: user} }
	own := &Row{ID: "a", Identity: alice, Linked: alice}
	tests := []struct {
		name  string
		held  Held
		state LinkState
		row   RowPolicy
		want  Plan
	}{
		{"linked, keep", Held{Link: entry(Linked, "a"), User: own, Row: own}, Gone, KeepRow,
			Plan{Action: Bury, State: Gone, Row: KeepRow, User: "a"}},
		{"linked, delete", Held{Link: entry(Linked, "a"), User: own, Row: own}, Gone, DeleteRow,
			Plan{Action: Bury, State: Gone, Row: DeleteRow, User: "a", Retire: "a"}},
		{"linked, the row is missing", Held{Link: entry(Linked, "a")}, Gone, AnonymiseRow,
			Plan{Action: Bury, State: Gone, User: "a", Retire: "a"}},
		{"linked, but the row holds another", Held{Link: entry(Linked, "a"), User: &Row{ID: "a", Identity: bob, Linked: alice}}, Gone, DeleteRow,
			Plan{Action: Bury, State: Gone, User: "a"}},
		{"linked, but another's row holds it", Held{Link: entry(Linked, "a"), Row: &Row{ID: "b", Identity: alice}}, Erased, DeleteRow,
			Plan{Action: Bury, State: Erased, User: "a"}},
		{"a hand-written hook's row", Held{Row: &Row{ID: "a", Identity: alice}}, Gone, DeactivateRow,
			Plan{Action: Bury, State: Gone, Row: DeactivateRow, User: "a"}},
		{"that row is another's in the ledger", Held{Row: &Row{ID: "a", Identity: alice, Linked: bob}}, Gone, DeleteRow,
			Plan{Action: Bury, State: Gone, User: "a"}},
		{"nobody ever heard of it", Held{}, Gone, DeleteRow, Plan{Action: Bury, State: Gone}},
		{"held, its former user is another's", Held{Link: entry(OnHold, "a")}, Erased, DeleteRow,
			Plan{Action: Bury, State: Erased}},
		{"gone already, kept", Held{Link: entry(Gone, "a"), User: own, Row: own}, Gone, KeepRow,
			Plan{Action: Bury, State: Gone, Row: KeepRow, User: "a"}}, // the store knows whether the table had refused
		{"gone already, but the table had refused", Held{Link: entry(Gone, "a"), User: own, Row: own}, Gone, DeleteRow,
			Plan{Action: Bury, State: Gone, Row: DeleteRow, User: "a", Retire: "a"}},
		{"gone already, row and all", Held{Link: entry(Gone, "a")}, Gone, DeleteRow, Plan{Action: Bury, State: Gone, User: "a", Retire: "a"}},
		{"erased already, and its row waits", Held{Link: entry(Erased, "a"), User: own, Row: own}, Erased, "", Plan{Action: Keep, User: "a"}},
		{"gone, and erased then", Held{Link: entry(Gone, "a"), User: own, Row: own}, Erased, "",
			Plan{Action: Bury, State: Erased, User: "a", Retire: "a"}},
		{"erased, and gone then", Held{Link: entry(Erased, "a")}, Gone, KeepRow, Plan{Action: Bury, State: Erased, User: "a", Retire: "a"}},
		{"forgotten", Held{Link: entry(Forgotten, "a")}, Gone, DeactivateRow, Plan{Action: Bury, State: Gone, User: "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decideBury(seen, tt.held, tt.state, tt.row, "")
			if got.Action != tt.want.Action || got.State != tt.want.State || got.Row != tt.want.Row || got.User != tt.want.User || got.Retire != tt.want.Retire {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// answers is an Ory that says one thing after the other of an identity.
type answers struct {
	oryModel
	of    map[IdentityID][]error
	asked []IdentityID
}

func (o *answers) Identity(_ context.Context, id IdentityID) (Identity, error) {
	o.asked = append(o.asked, id)
	list := o.of[id]
	if len(list) == 0 {
		return Identity{ID: id}, nil
	}
	o.of[id] = list[1:]
	return Identity{ID: id}, list[0]
}

// TestProveGone: two looks with the gap between, a control between and after, and
// nothing is proved by anything that leaves doubt.
func TestProveGone(t *testing.T) {
	const carol = IdentityID("33333333-3333-4333-8333-333333333333")
	no, doubt := ErrNotFound, ErrUnavailable
	tests := []struct {
		name   string
		of     map[IdentityID][]error // alice and bob are asked for, carol is the control
		proved []IdentityID
		err    error
		waits  time.Duration
	}{
		{"gone both times", map[IdentityID][]error{alice: {no, no}}, []IdentityID{alice}, nil, 30 * time.Second},
		{"both gone", map[IdentityID][]error{alice: {no, no}, bob: {no, no}}, []IdentityID{alice, bob}, nil, 30 * time.Second},
		{"nobody is missing", nil, nil, nil, 0},
		{"there again", map[IdentityID][]error{alice: {no, nil}}, nil, nil, 30 * time.Second},
		{"doubt of both", map[IdentityID][]error{alice: {doubt}, bob: {doubt}}, nil, ErrUnavailable, 0},
		{"doubt of one at first", map[IdentityID][]error{alice: {no, no}, bob: {doubt, no}}, []IdentityID{alice}, ErrUnavailable, 30 * time.Second},
		{"doubt of one then", map[IdentityID][]error{alice: {no, doubt}, bob: {no, no}}, []IdentityID{bob}, ErrUnavailable, 30 * time.Second},
		{"the control is missing", map[IdentityID][]error{alice: {no, no}, carol: {no}}, nil, ErrUnavailable, 0},
		{"the control is missing then", map[IdentityID][]error{alice: {no, no}, carol: {nil, no}}, nil, ErrUnavailable, 30 * time.Second},
		{"the control is doubtful", map[IdentityID][]error{alice: {no, no}, carol: {nil, doubt}}, nil, ErrUnavailable, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ory := &answers{oryModel: oryModel{admin: true}, of: tt.of}
				l := &Linker{Ory: ory, Store: newMemory(ByMint)}
				began := time.Now()
				proofs, err := l.ProveGone(t.Context(), []IdentityID{alice, bob}, carol)
				if !errors.Is(err, tt.err) || len(proofs) != len(tt.proved) || time.Since(began) != tt.waits {
					t.Fatalf("%v, %v after %s", proofs, err, time.Since(began))
				}
				for i, p := range proofs {
					if p.Identity() != tt.proved[i] {
						t.Errorf("proved %s", p.Identity())
					}
				}
			})
		})
	}
}

// TestProveGoneGivesUp: an identity that Ory cannot read keeps no other from being
// proved gone; an Ory that does not answer is not asked for everybody.
func TestProveGoneGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const control = IdentityID("33333333-3333-4333-8333-333333333333")
		var ids []IdentityID
		answered := map[IdentityID][]error{}
		for n := range 10 {
			id := IdentityID(fmt.Sprintf("44444444-4444-4444-8444-44444444444%d", n))
			ids = append(ids, id)
			if answered[id] = []error{ErrNotFound, ErrNotFound}; n%2 == 1 {
				answered[id] = []error{ErrUnavailable, ErrUnavailable}
			}
		}
		l := &Linker{Ory: &answers{oryModel: oryModel{admin: true}, of: answered}, Store: newMemory(ByMint)}
		proofs, err := l.ProveGone(t.Context(), ids, control)
		var unproved *UnprovedError
		if len(proofs) != 5 || !errors.As(err, &unproved) || len(unproved.Identities) != 5 || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v %v", proofs, err)
		}
		for _, id := range ids {
			answered[id] = []error{ErrUnavailable}
		}
		ory := &answers{oryModel: oryModel{admin: true}, of: answered}
		l = &Linker{Ory: ory, Store: newMemory(ByMint)}
		proofs, err = l.ProveGone(t.Context(), ids, control)
		if len(proofs) != 0 || !errors.As(err, &unproved) || len(unproved.Identities) != 10 || len(ory.asked) != silence {
			t.Errorf("%v %v, asked %d times", proofs, err, len(ory.asked))
		}
	})
}

// A proof does not keep.
func TestProofAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Linker{Ory: &oryModel{admin: true, identities: map[IdentityID]Identity{bob: {ID: bob}}}, Store: newMemory(ByMint)}
		proofs, err := l.ProveGone(t.Context(), []IdentityID{alice}, bob)
		if err != nil || len(proofs) != 1 {
			t.Fatal(proofs, err)
		}
		time.Sleep(proofLife + time.Second)
		if _, err := l.Bury(t.Context(), proofs[0]); !errors.Is(err, errNoProof) {
			t.Errorf("bury: %v", err)
		}
		if _, err := l.Rebind(t.Context(), bob, proofs[0]); !errors.Is(err, errNoProof) {
			t.Errorf("rebind: %v", err)
		}
	})
}
