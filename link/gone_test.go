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

// scriptedOry returns a list of errors for each identity, one per call.
type scriptedOry struct {
	oryModel
	errs  map[symbolon.IdentityID][]error
	asked []symbolon.IdentityID
}

func (o *scriptedOry) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	o.asked = append(o.asked, id)
	list := o.errs[id]
	if len(list) == 0 {
		return symbolon.Identity{ID: id}, nil
	}
	o.errs[id] = list[1:]
	return symbolon.Identity{ID: id}, list[0]
}

// TestProveGone checks that two answers of 404 with the gap between them prove that an
// identity is gone, if the control is found before and after the gap. Any other error
// proves nothing.
func TestProveGone(t *testing.T) {
	const carol = symbolon.IdentityID("33333333-3333-4333-8333-333333333333")
	gone, down := symbolon.ErrNotFound, symbolon.ErrUnavailable
	tests := []struct {
		name   string
		errs   map[symbolon.IdentityID][]error // alice and bob are tested, carol is the control
		proved []symbolon.IdentityID
		err    error
		waits  time.Duration
	}{
		{"gone both times", map[symbolon.IdentityID][]error{alice: {gone, gone}}, []symbolon.IdentityID{alice}, nil, 30 * time.Second},
		{"both gone", map[symbolon.IdentityID][]error{alice: {gone, gone}, bob: {gone, gone}}, []symbolon.IdentityID{alice, bob}, nil, 30 * time.Second},
		{"no identity is missing", nil, nil, nil, 0},
		{"found the second time", map[symbolon.IdentityID][]error{alice: {gone, nil}}, nil, nil, 30 * time.Second},
		{"no answer for both", map[symbolon.IdentityID][]error{alice: {down}, bob: {down}}, nil, symbolon.ErrUnavailable, 0},
		{"no answer for one the first time", map[symbolon.IdentityID][]error{alice: {gone, gone}, bob: {down, gone}}, []symbolon.IdentityID{alice}, symbolon.ErrUnavailable, 30 * time.Second},
		{"no answer for one the second time", map[symbolon.IdentityID][]error{alice: {gone, down}, bob: {gone, gone}}, []symbolon.IdentityID{bob}, symbolon.ErrUnavailable, 30 * time.Second},
		{"the control is missing", map[symbolon.IdentityID][]error{alice: {gone, gone}, carol: {gone}}, nil, symbolon.ErrUnavailable, 0},
		{"the control is missing the second time", map[symbolon.IdentityID][]error{alice: {gone, gone}, carol: {nil, gone}}, nil, symbolon.ErrUnavailable, 30 * time.Second},
		{"no answer for the control", map[symbolon.IdentityID][]error{alice: {gone, gone}, carol: {nil, down}}, nil, symbolon.ErrUnavailable, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ory := &scriptedOry{oryModel: oryModel{admin: true}, errs: tt.errs}
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

// TestProveGoneUnanswered checks that an identity that Ory cannot read does not prevent
// the proof for others. An Ory that does not answer at all gets only three questions.
func TestProveGoneUnanswered(t *testing.T) {
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
		l := &Linker{Ory: &scriptedOry{oryModel: oryModel{admin: true}, errs: answered}, Store: newMemory(symbolon.ByMint)}
		proofs, err := l.ProveGone(t.Context(), ids, control)
		var unproved *UnprovedError
		if len(proofs) != 5 || !errors.As(err, &unproved) || len(unproved.Identities) != 5 || !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("%v %v", proofs, err)
		}
		for _, id := range ids {
			answered[id] = []error{symbolon.ErrUnavailable}
		}
		ory := &scriptedOry{oryModel: oryModel{admin: true}, errs: answered}
		l = &Linker{Ory: ory, Store: newMemory(symbolon.ByMint)}
		proofs, err = l.ProveGone(t.Context(), ids, control)
		if len(proofs) != 0 || !errors.As(err, &unproved) || len(unproved.Identities) != 10 || len(ory.asked) != maxUnanswered {
			t.Errorf("%v %v, asked %d times", proofs, err, len(ory.asked))
		}
	})
}

func TestProofsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Linker{Ory: &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{bob: {ID: bob}}}, Store: newMemory(symbolon.ByMint)}
		proofs, err := l.ProveGone(t.Context(), []symbolon.IdentityID{alice}, bob)
		if err != nil || len(proofs) != 1 {
			t.Fatal(proofs, err)
		}
		time.Sleep(proofLife + time.Second)
		if _, err := l.EndGone(t.Context(), proofs[0]); !errors.Is(err, errNoProof) {
			t.Errorf("EndGone: %v", err)
		}
		if _, err := l.Rebind(t.Context(), bob, proofs[0]); !errors.Is(err, errNoProof) {
			t.Errorf("Rebind: %v", err)
		}
	})
}
