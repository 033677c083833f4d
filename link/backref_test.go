package link

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
)

// restlessOry also tells of sign-ins, and answers a PATCH as it is told.
type restlessOry struct {
	*oryModel
	signIn  time.Time
	deaf    error // of LastSignIn
	answer  error // of the PATCH
	undone  bool  // the PATCH does nothing
	between func()
}

func (o *restlessOry) LastSignIn(context.Context, symbolon.IdentityID) (time.Time, error) {
	return o.signIn, o.deaf
}

func (o *restlessOry) AddPublicMetadata(ctx context.Context, id symbolon.IdentityID, key, value string) (symbolon.Identity, error) {
	if o.between != nil {
		o.between()
	}
	if o.undone {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.patches = append(o.patches, "undone")
		return o.identities[id], o.answer
	}
	i, err := o.oryModel.AddPublicMetadata(ctx, id, key, value)
	return i, errors.Join(err, o.answer)
}

// TestWriteBackReference is the row "O PATCH" of the catalogue: whatever the answer, a
// re-reading decides; and nothing that stands there is written over.
func TestWriteBackReference(t *testing.T) {
	broken := fmt.Errorf("500: %w", symbolon.ErrUnavailable)
	refused := errors.New("409")
	other := func(metadata string) func(*restlessOry) {
		return func(o *restlessOry) {
			o.between = func() {
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
		ory     func(*restlessOry)
		want    Wrote
		err     error
		patches int
		known   bool // to the ledger, afterwards
	}{
		{name: "written", want: WroteNow, patches: 1, known: true},
		{name: "500 after it was done", ory: func(o *restlessOry) { o.answer = broken }, want: WroteNow, patches: 1, known: true},
		{name: "500, not done", ory: func(o *restlessOry) { o.answer, o.undone = broken, true }, err: symbolon.ErrUnavailable, patches: 1},
		{name: "409, not done", ory: func(o *restlessOry) { o.answer, o.undone = refused, true }, err: refused, patches: 1},
		{name: "200, undone by another writer", ory: func(o *restlessOry) { o.undone = true }, err: errAny, patches: 1},
		{name: "400, no object by then", ory: func(o *restlessOry) { other(`"text"`)(o); o.answer, o.undone = refused, true }, want: LeftAlone, patches: 1},
		{name: "404, gone by then", ory: func(o *restlessOry) {
			o.answer, o.undone = symbolon.ErrNotFound, true
			o.between = func() { o.mu.Lock(); defer o.mu.Unlock(); delete(o.identities, alice) }
		}, want: NoBond, patches: 1},
		{name: "ours already", before: "ours", want: Stands, known: true},
		{name: "somebody's", before: `{"id":"42"}`, want: LeftAlone},
		{name: "a number", before: `{"id":42}`, want: LeftAlone},
		{name: "no object", before: `[1]`, want: LeftAlone},
		{name: "a minute old", age: time.Minute, want: TooLate},
		{name: "made in the future", age: -2 * time.Minute, want: TooLate},
		{name: "Ory down", ory: func(o *restlessOry) { o.down = true }, err: symbolon.ErrUnavailable},
		{name: "identity gone", ory: func(o *restlessOry) { delete(o.identities, alice) }, want: NoBond},
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
				t.Errorf("the ledger knows: %v, want %v", known, tt.known)
			}
		})
	}
}

var errAny = errors.New("any")

// TestRepairBackReference: not while somebody may be at work on the identity.
func TestRepairBackReference(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name    string
		age     time.Duration
		changed time.Duration // ago
		signIn  time.Duration // ago; 0: never
		before  string
		deaf    error
		want    Wrote
		err     bool
		patches int
	}{
		{name: "at rest", age: time.Hour, changed: time.Hour, signIn: time.Hour, want: WroteNow, patches: 1},
		{name: "nobody ever signed in", age: time.Hour, changed: 11 * time.Minute, want: WroteNow, patches: 1},
		{name: "frozen updated_at", age: time.Hour, changed: time.Hour, signIn: 10*time.Minute + time.Second, want: WroteNow, patches: 1},
		{name: "changed", age: time.Hour, changed: 9 * time.Minute, signIn: time.Hour, want: TooSoon},
		{name: "signed in", age: time.Hour, changed: time.Hour, signIn: 9 * time.Minute, want: TooSoon},
		{name: "new", age: 2 * time.Minute, changed: 2 * time.Minute, want: TooSoon},
		{name: "sessions cannot be read", age: time.Hour, changed: time.Hour, deaf: symbolon.ErrUnavailable, err: true},
		{name: "somebody's value", age: time.Hour, before: `{"id":"42"}`, want: LeftAlone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, o, _, _ := newBackReference(t, tt.age)
			o.put(tt.before)
			i := o.identities[alice]
			i.ChangedAt = now.Add(-tt.changed)
			o.identities[alice] = i
			o.deaf = tt.deaf
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

// TestRepairNeedsSignIns: an Ory that cannot tell of them is not written to.
func TestRepairNeedsSignIns(t *testing.T) {
	l, o, _, _ := newBackReference(t, time.Hour)
	l.Ory = o.oryModel
	if got, err := l.RepairBackReference(t.Context(), alice); err == nil || len(o.patches) != 0 {
		t.Errorf("got %q, %v, %d PATCHes", got, err, len(o.patches))
	}
}

// TestMissBackReference: a finding, once, unless the value was seen.
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

// newBackReference links alice, whose identity holds nothing yet.
func newBackReference(t *testing.T, age time.Duration) (*Linker, *restlessOry, *memory, symbolon.UserID) {
	t.Helper()
	id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now().Add(-age)}
	o := &restlessOry{oryModel: &oryModel{admin: true, identities: map[symbolon.IdentityID]symbolon.Identity{alice: id}}}
	store := newMemory(symbolon.ByMint)
	l := newTestLinker(o.oryModel, store)
	l.Ory, l.QueuedWrites = o, true
	link, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
	if err != nil {
		t.Fatal(err)
	}
	return l, o, store, link.User
}

func (o *restlessOry) put(metadata string) {
	i := o.identities[alice]
	i.MetadataPublic = []byte(metadata)
	o.identities[alice] = i
}
