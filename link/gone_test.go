package link

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

// answers is an Ory that says one thing after the other of an identity.
type answers struct {
	oryModel
	of    map[symbolon.IdentityID][]error
	asked []symbolon.IdentityID
}

func (o *answers) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	o.asked = append(o.asked, id)
	list := o.of[id]
	if len(list) == 0 {
		return symbolon.Identity{ID: id}, nil
	}
	o.of[id] = list[1:]
	return symbolon.Identity{ID: id}, list[0]
}

// TestProveGone: two looks with the gap between, a control between and after, and
// nothing is proved by anything that leaves doubt.
func TestProveGone(t *testing.T) {
	const carol = symbolon.IdentityID("33333333-3333-4333-8333-333333333333")
	no, doubt := symbolon.ErrNotFound, symbolon.ErrUnavailable
	tests := []struct {
		name   string
		of     map[symbolon.IdentityID][]error // alice and bob are asked for, carol is the control
		proved []symbolon.IdentityID
		err    error
		waits  time.Duration
	}{
		{"gone both times", map[symbolon.IdentityID][]error{alice: {no, no}}, []symbolon.IdentityID{alice}, nil, 30 * time.Second},
		{"both gone", map[symbolon.IdentityID][]error{alice: {no, no}, bob: {no, no}}, []symbolon.IdentityID{alice, bob}, nil, 30 * time.Second},
		{"nobody is missing", nil, nil, nil, 0},
		{"there again", map[symbolon.IdentityID][]error{alice: {no, nil}}, nil, nil, 30 * time.Second},
		{"doubt of both", map[symbolon.IdentityID][]error{alice: {doubt}, bob: {doubt}}, nil, symbolon.ErrUnavailable, 0},
		{"doubt of one at first", map[symbolon.IdentityID][]error{alice: {no, no}, bob: {doubt, no}}, []symbolon.IdentityID{alice}, symbolon.ErrUnavailable, 30 * time.Second},
		{"doubt of one then", map[symbolon.IdentityID][]error{alice: {no, doubt}, bob: {no, no}}, []symbolon.IdentityID{bob}, symbolon.ErrUnavailable, 30 * time.Second},
		{"the control is missing", map[symbolon.IdentityID][]error{alice: {no, no}, carol: {no}}, nil, symbolon.ErrUnavailable, 0},
		{"the control is missing then", map[symbolon.IdentityID][]error{alice: {no, no}, carol: {nil, no}}, nil, symbolon.ErrUnavailable, 30 * time.Second},
		{"the control is doubtful", map[symbolon.IdentityID][]error{alice: {no, no}, carol: {nil, doubt}}, nil, symbolon.ErrUnavailable, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ory := &answers{oryModel: oryModel{admin: true}, of: tt.of}
				l := &Linker{Ory: ory, Store: newMemory(symbolon.ByMint)}
				began := time.Now()
				proofs, err := l.ProveGone(t.Context(), []symbolon.IdentityID{alice, bob}, carol)
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
		const control = symbolon.IdentityID("33333333-3333-4333-8333-333333333333")
		var ids []symbolon.IdentityID
		answered := map[symbolon.IdentityID][]error{}
		for n := range 10 {
			id := symbolon.IdentityID(fmt.Sprintf("44444444-4444-4444-8444-44444444444%d", n))
			ids = append(ids, id)
			if answered[id] = []error{symbolon.ErrNotFound, symbolon.ErrNotFound}; n%2 == 1 {
				answered[id] = []error{symbolon.ErrUnavailable, symbolon.ErrUnavailable}
			}
		}
		l := &Linker{Ory: &answers{oryModel: oryModel{admin: true}, of: answered}, Store: newMemory(symbolon.ByMint)}
		proofs, err := l.ProveGone(t.Context(), ids, control)
		var unproved *UnprovedError
		if len(proofs) != 5 || !errors.As(err, &unproved) || len(unproved.Identities) != 5 || !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("%v %v", proofs, err)
		}
		for _, id := range ids {
			answered[id] = []error{symbolon.ErrUnavailable}
		}
		ory := &answers{oryModel: oryModel{admin: true}, of: answered}
		l = &Linker{Ory: ory, Store: newMemory(symbolon.ByMint)}
		proofs, err = l.ProveGone(t.Context(), ids, control)
		if len(proofs) != 0 || !errors.As(err, &unproved) || len(unproved.Identities) != 10 || len(ory.asked) != maxUnanswered {
			t.Errorf("%v %v, asked %d times", proofs, err, len(ory.asked))
		}
	})
}

// A proof does not keep.
func TestProofAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Linker{Ory: &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{bob: {ID: bob}}}, Store: newMemory(symbolon.ByMint)}
		proofs, err := l.ProveGone(t.Context(), []symbolon.IdentityID{alice}, bob)
		if err != nil || len(proofs) != 1 {
			t.Fatal(proofs, err)
		}
		time.Sleep(proofLife + time.Second)
		if _, err := l.EndGone(t.Context(), proofs[0]); !errors.Is(err, errNoProof) {
			t.Errorf("bury: %v", err)
		}
		if _, err := l.Rebind(t.Context(), bob, proofs[0]); !errors.Is(err, errNoProof) {
			t.Errorf("rebind: %v", err)
		}
	})
}
