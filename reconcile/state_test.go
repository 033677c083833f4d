package reconcile

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
)

// TestShare checks that the share grows with the IDs, from 0 to 1.
func TestShare(t *testing.T) {
	countUpTo := -1.0
	for _, at := range []symbolon.IdentityID{"", "00000000-0000-4000-8000-000000000001", "7fffffff-0000-4000-8000-000000000001", "ffffffff-0000-4000-8000-000000000001"} {
		share := (&state{At: at}).share()
		if share < 0 || share >= 1 || share < countUpTo {
			t.Errorf("%q: %f", at, share)
		}
		countUpTo = share
	}
	if share := (&state{Done: true}).share(); share != 1 {
		t.Errorf("at the end: %f", share)
	}
}

// TestCheckpoint checks that a checkpoint restores the state. With too many marks the
// listing starts again.
func TestCheckpoint(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	s := newState(Options{Rebind: true, Only: []symbolon.FindingKind{OrphanUser}, AllowMissing: 7}, now)
	s.At = ann
	s.Walk.Found[StaleColumns], s.Walk.Absent, s.Walk.AbsentMarks, s.Walk.ClaimedMarks = 4, 1, []uint64{mark(ann)}, []uint64{1 << 63, mark(bob)}
	s.Missing = []absence{{Finding{Kind: OrphanUser, Identity: ann, User: "42", Detail: "d", Repair: "r"}, true, true}}
	raw, err := s.checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	got, err := readCheckpoint(raw, now.Add(time.Hour))
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v\n%+v %v", got, s, err)
	}
	for n := range maxKept + 1 {
		s.Walk.ClaimedMarks = append(s.Walk.ClaimedMarks, uint64(n))
	}
	if raw, err = s.checkpoint(); err != nil || len(raw) > 10_000 || len(s.Walk.ClaimedMarks) <= maxKept {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	if got, err = readCheckpoint(raw, now.Add(time.Hour)); err != nil || got.At == ann || got.Walk.Absent != 0 || len(got.Missing) != 0 || !got.Began.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{``, `{}`, `null`, `[]`, `{"version":1,"shards":[{}],"walk":{"found":{}}}`, `{"version":2,"walk":{}}`, `{"version":2`} {
		if _, err := readCheckpoint(json.RawMessage(bad), now); err == nil {
			t.Errorf("%s was accepted as a checkpoint", bad)
		}
	}
}

func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(rapid.Uint64Range(0, 20)).Draw(t, "a"), rapid.SliceOf(rapid.Uint64Range(0, 20)).Draw(t, "b")
		in := map[uint64]int{}
		for _, m := range a {
			in[m] |= 1
		}
		for _, m := range b {
			in[m] |= 2
		}
		want := 0
		for _, bits := range in {
			if bits == 3 {
				want++
			}
		}
		if got := both(a, b); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	})
}
