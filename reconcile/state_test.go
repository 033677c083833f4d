package reconcile

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
)

// TestShards: every ID is in exactly one, whatever their number.
func TestShards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cut := shards(rapid.IntRange(-1, 100).Draw(t, "n"))
		id := symbolon.IdentityID(fmt.Sprintf("%08x-0000-4000-8000-%012x", rapid.Uint32().Draw(t, "hi"), 1))
		if cut[0].From != "" || cut[len(cut)-1].To != "" || len(cut) > maxShards {
			t.Fatalf("%+v", cut)
		}
		in := 0
		for i, s := range cut {
			if i > 0 && s.From != cut[i-1].To || s.At != s.From {
				t.Fatalf("a gap: %+v", cut)
			}
			if id > s.From && (s.To == "" || id <= s.To) {
				in++
				s.At = id
				if share := s.share(); share < 0 || share > 1 {
					t.Fatalf("%s: share %f of %+v", id, share, s)
				}
			}
		}
		if in != 1 {
			t.Fatalf("%s is in %d shards", id, in)
		}
	})
}

// TestCheckpoint: what is written down is what goes on, unless there is too much of it:
// then the walk begins anew.
func TestCheckpoint(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	s := newState(Options{Rebind: true, Only: []symbolon.FindingKind{OrphanUser}, AllowMissing: 7, Shards: 3}, now)
	s.Shards[1].At = ann
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
	for n := range keep + 1 {
		s.Walk.ClaimedMarks = append(s.Walk.ClaimedMarks, uint64(n))
	}
	if raw, err = s.checkpoint(); err != nil || len(raw) > 10_000 || len(s.Walk.ClaimedMarks) <= keep {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	if got, err = readCheckpoint(raw, now.Add(time.Hour)); err != nil || got.Shards[1].At == ann || got.Walk.Absent != 0 || len(got.Missing) != 0 || !got.Began.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{``, `{}`, `null`, `[]`, `{"version":2,"shards":[{}],"walk":{"found":{}}}`, `{"version":1,"shards":[],"walk":{"found":{}}}`, `{"version":1`} {
		if _, err := readCheckpoint(json.RawMessage(bad), now); err == nil {
			t.Errorf("%s was taken for a checkpoint", bad)
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
