package link

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
)

// patchOry also returns the last sign-in, and answers a PATCH as the test wants.
type patchOry struct {
	*oryModel
	signIn    time.Time
	signInErr error  // of LastSignIn
	patchErr  error  // of the PATCH
	ignored   bool   // the PATCH changes nothing
	before    func() // runs when a PATCH comes
}

func (o *patchOry) LastSignIn(context.Context, symbolon.IdentityID) (time.Time, error) {
	return o.signIn, o.signInErr
}

func (o *patchOry) AddPublicMetadata(ctx context.Context, id symbolon.IdentityID, key, value string) (symbolon.Identity, error) {
	if o.before != nil {
		o.before()
	}
	if o.ignored {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.patches = append(o.patches, "ignored")
		return o.identities[id], o.patchErr
	}
	i, err := o.oryModel.AddPublicMetadata(ctx, id, key, value)
	return i, errors.Join(err, o.patchErr)
}

// TestWriteBackReference checks that the reading after the PATCH decides and not the
// answer to the PATCH, and that no existing value is overwritten.
func TestWriteBackReference(t *testing.T) {
	broken := fmt.Errorf("500: %w", symbolon.ErrUnavailable)
	refused := errors.New("409")
	other := func(metadata string) func(*patchOry) {
		return func(o *patchOry) {
			o.before = func() {
				o.mu.Lock()
				defer o.mu.Unlock()
				i := o.identities[alice]
				i.MetadataPublic = []byte(metadata)
				o.identities[alice] = i
			}
		}
	}
	for _, tt := range []struct {
		name    string
		before  string
		age     time.Duration
		ory     func(*patchOry)
		want    Wrote
		err     error
		patches int
		known   bool // the ledger has the value afterwards
	}{
		{name: "written", want: WroteNow, patches: 1, known: true},
		{name: "500, but written", ory: func(o *patchOry) { o.patchErr = broken }, want: WroteNow, patches: 1, known: true},
		{name: "500, not written", ory: func(o *patchOry) { o.patchErr, o.ignored = broken, true }, err: symbolon.ErrUnavailable, patches: 1},
		{name: "409, not written", ory: func(o *patchOry) { o.patchErr, o.ignored = refused, true }, err: refused, patches: 1},
		{name: "200, overwritten by another writer", ory: func(o *patchOry) { o.ignored = true }, err: errAny, patches: 1},
		{name: "400, metadata is not an object any more", ory: func(o *patchOry) { other(`"text"`)(o); o.patchErr, o.ignored = refused, true }, want: LeftAlone, patches: 1},
		{name: "404, the identity is gone", ory: func(o *patchOry) {
			o.patchErr, o.ignored = symbolon.ErrNotFound, true
			o.before = func() { o.mu.Lock(); defer o.mu.Unlock(); delete(o.identities, alice) }
		}, want: NoBond, patches: 1},
		{name: "the user's ID already", before: "ours", want: Stands, known: true},
		{name: "another text", before: `{"id":"42"}`, want: LeftAlone},
		{name: "a number", before: `{"id":42}`, want: LeftAlone},
		{name: "metadata that is not an object", before: `[1]`, want: LeftAlone},
		{name: "a minute old", age: time.Minute, want: TooLate},
		{name: "made in the future", age: -2 * time.Minute, want: TooLate},
		{name: "Ory down", ory: func(o *patchOry) { o.down = true }, err: symbolon.ErrUnavailable},
		{name: "identity gone", ory: func(o *patchOry) { delete(o.identities, alice) }, want: NoBond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, o, store, user := newBackReference(t, tt.age)
			if tt.before == "ours" {
				tt.before = `{"id":"` + string(user) + `"}`
			}
			o.put(tt.before)
			if tt.ory != nil {
				tt.ory(o)
			}
			got, err := l.WriteBackReference(t.Context(), alice)
			if got != tt.want || (err == nil) != (tt.err == nil) || tt.err != nil && !errors.Is(tt.err, errAny) && !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
			if len(o.patches) != tt.patches {
				t.Errorf("%d PATCHes, want %d", len(o.patches), tt.patches)
			}
			if known := store.links[alice].BackReference == string(user); known != tt.known {
				t.Errorf("in the ledger: %v, want %v", known, tt.known)
			}
		})
	}
}

var errAny = errors.New("any")

// TestRepairBackReference checks that an identity that was just changed or used is not
// patched.
func TestRepairBackReference(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name      string
		age       time.Duration
		changed   time.Duration // time since the last change
		signIn    time.Duration // time since the last sign-in; 0: never
		before    string
		signInErr error
		want      Wrote
		err       bool
		patches   int
	}{
		{name: "untouched", age: time.Hour, changed: time.Hour, signIn: time.Hour, want: WroteNow, patches: 1},
		{name: "never signed in", age: time.Hour, changed: 11 * time.Minute, want: WroteNow, patches: 1},
		{name: "frozen updated_at", age: time.Hour, changed: time.Hour, signIn: 10*time.Minute + time.Second, want: WroteNow, patches: 1},
		{name: "changed", age: time.Hour, changed: 9 * time.Minute, signIn: time.Hour, want: TooSoon},
		{name: "signed in", age: time.Hour, changed: time.Hour, signIn: 9 * time.Minute, want: TooSoon},
		{name: "new", age: 2 * time.Minute, changed: 2 * time.Minute, want: TooSoon},
		{name: "sessions cannot be read", age: time.Hour, changed: time.Hour, signInErr: symbolon.ErrUnavailable, err: true},
		{name: "another value", age: time.Hour, before: `{"id":"42"}`, want: LeftAlone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, o, _, _ := newBackReference(t, tt.age)
			o.put(tt.before)
			i := o.identities[alice]
			i.ChangedAt = now.Add(-tt.changed)
			o.identities[alice] = i
			o.signInErr = tt.signInErr
			if tt.signIn > 0 {
				o.signIn = now.Add(-tt.signIn)
			}
			got, err := l.RepairBackReference(t.Context(), alice)
			if got != tt.want || (err != nil) != tt.err || len(o.patches) != tt.patches {
				t.Errorf("got %q, %v, %d PATCHes; want %q, error %v, %d", got, err, len(o.patches), tt.want, tt.err, tt.patches)
			}
		})
	}
}

// TestRepairNeedsSignIns checks that an Ory without LastSignIn gets no PATCH.
func TestRepairNeedsSignIns(t *testing.T) {
	l, o, _, _ := newBackReference(t, time.Hour)
	l.Ory = o.oryModel
	if got, err := l.RepairBackReference(t.Context(), alice); err == nil || len(o.patches) != 0 {
		t.Errorf("got %q, %v, %d PATCHes", got, err, len(o.patches))
	}
}

// TestMissBackReference checks that there is one finding, and none if Ory has had the
// value.
func TestMissBackReference(t *testing.T) {
	l, _, store, user := newBackReference(t, time.Hour)
	for range 2 {
		if err := l.MissBackReference(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
	}
	if f := store.open[alice]; len(f) != 1 || f[0].Kind != symbolon.MissingBackReference || f[0].User != user {
		t.Errorf("open findings: %+v", f)
	}
	l, _, store, user = newBackReference(t, time.Hour)
	link := store.links[alice]
	link.BackReference = string(user)
	store.links[alice] = link
	if err := l.MissBackReference(t.Context(), alice); err != nil || len(store.open[alice]) != 0 {
		t.Errorf("%v, open findings: %+v", err, store.open[alice])
	}
}

// newBackReference links alice, whose identity has no value yet.
func newBackReference(t *testing.T, age time.Duration) (*Linker, *patchOry, *memory, symbolon.UserID) {
	t.Helper()
	id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now().Add(-age)}
	o := &patchOry{oryModel: &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}}
	store := newMemory(symbolon.ByMint)
	l := newTestLinker(o.oryModel, store)
	l.Ory, l.QueuedWrites = o, true
	link, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
	if err != nil {
		t.Fatal(err)
	}
	return l, o, store, link.User
}

func (o *patchOry) put(metadata string) {
	i := o.identities[alice]
	i.MetadataPublic = []byte(metadata)
	o.identities[alice] = i
}
