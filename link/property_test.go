package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
)

// world is Ory, the application, Symbolon and people. The property test changes it in
// random order, as real programs do, and checks the invariants after every step.
type world struct {
	ory    *oryModel
	store  *memory
	linker *Linker
	clock  time.Time

	next    int
	asked   int // number of requests to the application for a user
	deleted map[symbolon.IdentityID]bool
	owner   map[symbolon.UserID]symbolon.IdentityID // the identity that got each ID
	vouched map[symbolon.IdentityID]symbolon.UserID // the user in a valid voucher
}

func newWorld(t *rapid.T) *world {
	newID := rapid.SampledFrom([]symbolon.NewID{symbolon.ByMint, symbolon.ByDatabase, symbolon.ByIdentity, symbolon.ByApplication}).Draw(t, "newID")
	w := &world{clock: testNow, deleted: map[symbolon.IdentityID]bool{}, owner: map[symbolon.UserID]symbolon.IdentityID{}, vouched: map[symbolon.IdentityID]symbolon.UserID{},
		ory:   &oryModel{admin: rapid.Bool().Draw(t, "admin"), identities: map[symbolon.IdentityID]symbolon.Identity{}},
		store: newMemory(newID)}
	w.linker = &Linker{Ory: w.ory, Store: w.store, Secrets: []symbolon.Secret{newKey}, Log: slog.New(slog.DiscardHandler),
		BackReference: BackReference{Write: WriteReserve}, Now: func() time.Time { return w.clock }, Creator: creatorFunc(w.create)}
	if rapid.Bool().Draw(t, "recreate") {
		w.linker.OnUserDeleted = RecreateDeleted
	}
	return w
}

// create is an application that makes its users itself. Sometimes it fails, or answers
// with another identity's user or a deleted one.
func (w *world) create(_ context.Context, id symbolon.Identity) (symbolon.UserID, error) {
	w.asked++
	switch w.asked % 7 {
	case 2:
		return "", symbolon.ErrCannotCreate
	case 4:
		return "", errors.New("a connection was reset")
	case 5:
		return symbolon.UserID(fmt.Sprintf("app-%.8s", personID(1))), nil
	default:
		return symbolon.UserID(fmt.Sprintf("app-%.8s", id.ID)), nil
	}
}

func (w *world) anybody(t *rapid.T) (symbolon.IdentityID, bool) {
	var ids []symbolon.IdentityID
	for n := 1; n <= w.next; n++ {
		ids = append(ids, personID(n))
	}
	if len(ids) == 0 {
		return "", false
	}
	return rapid.SampledFrom(ids).Draw(t, "who"), true
}

func personID(n int) symbolon.IdentityID {
	return symbolon.IdentityID(fmt.Sprintf("%08d-0000-4000-8000-000000000000", n))
}

// signUp stores an identity at Ory: without metadata, with a reserved ID, with a voucher,
// or with another application's value.
func (w *world) signUp(t *rapid.T) {
	w.next++
	id := symbolon.Identity{ID: personID(w.next), State: symbolon.Active, CreatedAt: w.clock}
	switch rapid.SampledFrom([]string{"plain", "reserved", "copied", "number", "object", "foreign", "user", "voucher"}).Draw(t, "metadata") {
	case "reserved":
		id.MetadataPublic = fmt.Appendf(nil, `{"id":%q}`, w.linker.Mint())
	case "copied":
		if other, ok := w.anybody(t); ok {
			id.MetadataPublic = w.ory.identities[other].MetadataPublic
		}
	case "number":
		id.MetadataPublic = fmt.Appendf(nil, `{"id":%d}`, rapid.IntRange(1, 5).Draw(t, "n"))
	case "object":
		id.MetadataPublic = []byte(`{"id":{"a":[1]}}`)
	case "foreign":
		id.MetadataPublic = []byte(`{"id":"admin"}`)
	case "user":
		if user, ok := w.anyUser(t); ok {
			id.MetadataPublic = fmt.Appendf(nil, `{"id":%q}`, user)
		}
	case "voucher":
		users := []symbolon.UserID{"invited-1", "invited-2"}
		if user, ok := w.anyUser(t); ok {
			users = append(users, user)
		}
		user := rapid.SampledFrom(users).Draw(t, "vouched")
		v, err := w.linker.minterForTest().Voucher(user)
		if err != nil {
			t.Fatal(err)
		}
		w.vouched[id.ID] = user
		id.MetadataPublic = fmt.Appendf(nil, `{"id":%q}`, user)
		id.MetadataAdmin = fmt.Appendf(nil, `{"symbolon":{"user":%q,"proof":%q}}`, v.User, v.Proof)
	}
	w.ory.identities[id.ID] = id
}

// invite makes users without an identity, as the application does.
func (w *world) invite(*rapid.T) {
	for _, user := range []symbolon.UserID{"invited-1", "invited-2"} {
		if _, exists := w.store.rows[user]; !exists && !w.store.retired[user] {
			w.store.rows[user] = ""
		}
	}
}

func (w *world) anyUser(t *rapid.T) (symbolon.UserID, bool) {
	var users []symbolon.UserID
	for n := 1; n <= w.next; n++ {
		for user, id := range w.store.rows {
			if id == personID(n) {
				users = append(users, user)
			}
		}
	}
	if len(users) == 0 {
		return "", false
	}
	return rapid.SampledFrom(users).Draw(t, "user"), true
}

// arrive links an identity from one of the sources.
func (w *world) arrive(t *rapid.T) {
	who, ok := w.anybody(t)
	if !ok {
		return
	}
	source := rapid.SampledFrom([]symbolon.Source{symbolon.FromRequest, symbolon.FromLinkHook, symbolon.FromSyncHook}).Draw(t, "source")
	id, alive := w.ory.identities[who]
	var link symbolon.Link
	var err error
	switch {
	case source != symbolon.FromRequest && w.ory.admin:
		link, err = w.linker.Refresh(context.Background(), who, source)
		if !alive && !errors.Is(err, symbolon.ErrNotFound) {
			t.Fatalf("a hint about deleted identity %s: %v", who, err)
		}
	case source == symbolon.FromSyncHook || !alive:
		return
	default:
		public := id
		public.MetadataAdmin = nil // whoami and hooks do not show it
		link, err = w.linker.Link(context.Background(), symbolon.Reading{Identity: public, Source: source})
	}
	w.checkAnswer(t, who, link, err)
}

// checkAnswer checks one answer against all answers before it.
func (w *world) checkAnswer(t *rapid.T, who symbolon.IdentityID, link symbolon.Link, err error) {
	if err != nil {
		for _, ok := range []error{symbolon.ErrOnHold, symbolon.ErrUserGone, symbolon.ErrCannotCreate, symbolon.ErrNotFound, symbolon.ErrUnavailable} {
			if errors.Is(err, ok) {
				return
			}
		}
		t.Fatalf("identity %s: an unknown kind of error: %v", who, err)
	}
	if link.Identity != who {
		t.Fatalf("asked for identity %s, got a link of %s", who, link.Identity)
	}
	row, exists := w.store.rows[link.User]
	if !exists || row != who {
		t.Fatalf("identity %s got user %s, whose row has %q (exists: %v)", who, link.User, row, exists)
	}
	if w.store.retired[link.User] {
		t.Fatalf("identity %s got the retired ID %s", who, link.User)
	}
	if before := w.owner[link.User]; before != "" && before != who && w.vouched[who] != link.User { // I11: no user is given to a second identity
		t.Fatalf("user %s of identity %s was given to %s", link.User, before, who)
	}
	w.owner[link.User] = who
}

func (w *world) deleteIdentity(t *rapid.T) {
	if who, ok := w.anybody(t); ok {
		delete(w.ory.identities, who)
		w.deleted[who] = true
	}
}

func (w *world) foreignWrite(t *rapid.T) {
	who, ok := w.anybody(t)
	id, alive := w.ory.identities[who]
	if !ok || !alive {
		return
	}
	value := rapid.SampledFrom([]string{`1`, `"1"`, `null`, `{"x":1}`, `"admin"`, `""`}).Draw(t, "value")
	if user, ok := w.anyUser(t); ok && rapid.Bool().Draw(t, "another's") {
		value = fmt.Sprintf("%q", user)
	}
	id.MetadataPublic = fmt.Appendf(nil, `{"id":%s}`, value)
	w.ory.identities[who] = id
}

func (w *world) deleteRow(t *rapid.T) {
	user, ok := w.anyUser(t)
	if !ok {
		return
	}
	own := w.store.newID == symbolon.ByApplication // then only Forget deletes rows, because they are Symbolon's own
	if rapid.Bool().Draw(t, "forget") || own {
		if err := w.linker.Forget(context.Background(), nil, user); err != nil {
			t.Fatal(err)
		}
	}
	delete(w.store.rows, user)
}

func (w *world) nullColumn(t *rapid.T) {
	if user, ok := w.anyUser(t); ok {
		w.store.rows[user] = ""
	}
}

func (w *world) bind(t *rapid.T) {
	who, ok := w.anybody(t)
	user, ok2 := w.anyUser(t)
	if !ok || !ok2 {
		return
	}
	move := rapid.Bool().Draw(t, "move")
	link, err := w.linker.Bind(context.Background(), who, user, symbolon.BindOptions{Move: move})
	if err != nil {
		if !errors.Is(err, symbolon.ErrConflict) && !errors.Is(err, symbolon.ErrNotFound) {
			t.Fatalf("bind: %v", err)
		}
		return
	}
	w.owner[user] = who
	w.checkAnswer(t, who, link, nil)
}

func (w *world) outage(t *rapid.T) {
	w.ory.down = rapid.Bool().Draw(t, "Ory down")
	w.store.down = rapid.Bool().Draw(t, "database down")
	defer func() { w.ory.down, w.store.down = false, false }()
	links := len(w.store.links)
	who, ok := w.anybody(t)
	id, alive := w.ory.identities[who]
	if !ok || !alive {
		return
	}
	link, err := w.linker.Link(context.Background(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
	if w.store.down && (err == nil || len(w.store.links) != links) {
		t.Fatalf("linked %s without a database", who)
	}
	if err == nil {
		w.checkAnswer(t, who, link, nil)
	}
}

// check runs after every step.
func (w *world) check(t *rapid.T) {
	users := map[symbolon.UserID]symbolon.IdentityID{}
	for id, l := range w.store.links {
		if _, err := symbolon.ParseIdentityID(string(id)); err != nil { // I9
			t.Fatalf("a key that is not an identity ID: %v", err)
		}
		if l.State != symbolon.Linked {
			continue
		}
		if l.User == "" {
			t.Fatalf("identity %s is linked to no user", id)
		}
		if other, twice := users[l.User]; twice { // I1
			t.Fatalf("user %s belongs to %s and %s", l.User, other, id)
		}
		users[l.User] = id
	}
	byIdentity := map[symbolon.IdentityID]symbolon.UserID{}
	for user, id := range w.store.rows {
		if other, twice := byIdentity[id]; twice && id != "" { // I1
			t.Fatalf("identity %s has the users %s and %s", id, user, other)
		}
		byIdentity[id] = user
	}
	if len(w.ory.patches) > 0 { // I3: the policy is reserve
		t.Fatalf("Ory was written to: %q", w.ory.patches)
	}
}

// TestInvariants checks every order of hooks, requests, deletions, foreign writes and
// outages: an identity has at most one user and a user at most one identity (I1), no
// foreign value is overwritten (I3), only valid IDs are keys (I9), and no ID is used
// twice (I11).
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"sign-up":         w.signUp,
			"invite":          w.invite,
			"arrive":          w.arrive,
			"arrive again":    w.arrive,
			"arrive together": w.arriveTogether,
			"delete identity": w.deleteIdentity,
			"foreign write":   w.foreignWrite,
			"delete row":      w.deleteRow,
			"null column":     w.nullColumn,
			"bind":            w.bind,
			"outage":          w.outage,
			"":                w.check,
		})
	})
}
