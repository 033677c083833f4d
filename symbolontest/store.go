package symbolontest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

// StoreFixture is a Store to be proved, with the hands of the application that
// owns the users table. Functions that may be nil say what is skipped without
// them; the others are required. They report what goes wrong to the test.
type StoreFixture struct {
	// Store is on a database that holds nothing yet. Its project is "default", and
	// column e-mail, if it fills one, comes from traits.email.
	Store symbolon.Store

	// Again opens another Store on the same database, as a second process would.
	Again func() symbolon.Store

	// InsertUser inserts a row as the application would, and returns its ID. The
	// identity column is null where identity is empty.
	InsertUser func(identity symbolon.IdentityID) symbolon.UserID

	// DeleteUser deletes a row, and SetIdentity writes its identity column; empty
	// stands for null.
	DeleteUser  func(symbolon.UserID)
	SetIdentity func(symbolon.UserID, symbolon.IdentityID)

	// Users lists all rows: the ID, and what the identity column holds.
	Users func() map[symbolon.UserID]symbolon.IdentityID

	// InTx runs f inside a transaction of the application's own, which is committed
	// when f returns nil and rolled back otherwise.
	InTx func(f func(symbolon.Execer) error)

	// OneColumn says that the key of the table is the identity's ID itself, so that
	// no user can be without an identity or move to another.
	OneColumn bool

	// Email reads the column that traits.email is projected to. nil: none is.
	Email func(symbolon.UserID) string

	// OnLink installs what the store calls inside the transaction of a new bond; f
	// writes through the Execer. nil: the store has no such hook.
	OnLink func(f func(ctx context.Context, tx symbolon.Execer, link symbolon.Link) error)

	// Scribble inserts a row into some table that exists for this purpose, and
	// Scribbled counts them: so that it is seen whether OnLink and the bond share a
	// transaction. Only used with OnLink.
	Scribble  func(ctx context.Context, tx symbolon.Execer) error
	Scribbled func() int

	// Stop makes the database useless for writers, until start is called. nil: it
	// cannot be stopped.
	Stop func() (start func())
}

// TestStore proves a Store: everything that symbolon.Store and symbolon.Plan
// promise, through a Linker where that is how it is used, and directly where it
// is not. open is called for every subtest. Run it with -race.
func TestStore(t *testing.T, open func(t *testing.T) StoreFixture) {
	tests := []struct {
		name string
		run  func(*world)
	}{
		{"nothing is known of nobody", testNobody},
		{"a new person gets a user, once", testCreate},
		{"a decision that fails leaves nothing", testDecisionFails},
		{"identity IDs that are none", testIdentityForms},
		{"user IDs that are none", testUserForms},
		{"the application's row is the link", testRowEvidence},
		{"what is held of claims", testClaims},
		{"a reserved ID is used once", testReserved},
		{"a voucher binds an existing user", testVoucher},
		{"a claim on another's user", testClaimedByOther},
		{"a claim on the user of an identity that is gone", testRecreatedIdentity},
		{"tickets only rise", testTickets},
		{"the newer reading wins", testTicketOrder},
		{"an unchanged reading writes no event", testUnchanged},
		{"a user whose row is missing", testUserGone},
		{"a row that disagrees", testDisagree},
		{"forget", testForget},
		{"forget and recreate", testRecreate},
		{"hold", testHold},
		{"deny", testDeny},
		{"back-reference", testBackReference},
		{"bind", testBind},
		{"bind moves a user", testMove},
		{"the application makes its users itself", testApplication},
		{"bind swaps two users", testSwap},
		{"an identity that is proved gone", testBuried},
		{"one that is gone before it was linked", testBuriedUnheard},
		{"the row of one that is gone", testBuriedRow},
		{"no proof without a control", testProofNeedsControl},
		{"erase", testErased},
		{"a user goes to the identity that claims it", testRebind},
		{"adopt and undo", testAdopt},
		{"adopt whoever is on hold", testAdoptHeld},
		{"adopt refuses", testAdoptRefuses},
		{"adopt at once", testAdoptRaces},
		{"the transaction of OnLink", testOnLink},
		{"projects do not mix", testProjects},
		{"records", testRecords},
		{"duplicates at once", testDuplicates},
		{"many people at once", testCrowd},
		{"one reserved ID for many", testOneIDForMany},
		{"the limit of conflicts is exact", testBreaker},
		{"a list of people, linked together", testLinkAll},
		{"what is made together, and what is left", testCreateAll},
		{"together and one by one, at once", testLinkAllRaces},
		{"one reserved ID for many, together", testLinkAllOneID},
		{"the transaction of OnLink, together", testLinkAllOnLink},
		{"a caller that gives up on many", testLinkAllGivesUp},
		{"the history rebuilds the ledger", testHistory},
		{"a caller that gives up", testCancel},
		{"a database that is stopped", testStopped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(newWorld(t, open(t))) })
	}
}

// world is one subtest's: the store, an Ory of its own, a linker between them.
type world struct {
	*testing.T
	StoreFixture
	ctx    context.Context
	ory    *plainOry
	app    *plainApp // used where it makes its users itself
	linker *link.Linker
	minter *mint.Minter
	secret symbolon.Secret // of linker and minter
}

func newWorld(t *testing.T, f StoreFixture) *world {
	t.Helper()
	w := &world{T: t, StoreFixture: f, ctx: t.Context(), app: &plainApp{}, ory: &plainOry{identities: map[symbolon.IdentityID]symbolon.Identity{}}}
	secret := symbolon.Secret("store suite: " + rand.Text() + rand.Text())
	w.linker, w.secret = w.newLinker(f.Store, secret), secret
	w.minter = mint.NewMinter("default", secret)
	return w
}

func (w *world) newLinker(store symbolon.Store, secrets ...symbolon.Secret) *link.Linker {
	return &link.Linker{Ory: w.ory, Store: store, Creator: w.app, Secrets: secrets, Log: slog.New(slog.DiscardHandler)}
}

// identity makes one that Ory has.
func (w *world) identity(email string) symbolon.Identity {
	id := symbolon.Identity{ID: newIdentityID(), State: symbolon.Active, CreatedAt: time.Now().Add(-time.Hour),
		Traits: json.RawMessage(fmt.Sprintf(`{"email":%q}`, email))}
	w.ory.put(id)
	return id
}

// claiming is an identity whose metadata_public.id says something.
func (w *world) claiming(value any) symbolon.Identity {
	id := w.identity("")
	id.MetadataPublic, _ = json.Marshal(map[string]any{"id": value})
	w.ory.put(id)
	return id
}

func newIdentityID() symbolon.IdentityID {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return symbolon.IdentityID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}

func seen(id symbolon.Identity) symbolon.Reading {
	return symbolon.Reading{Identity: id, Source: symbolon.FromRequest}
}

func query(id symbolon.Identity, claims ...symbolon.UserID) symbolon.Query {
	return symbolon.Query{Project: "default", Reading: seen(id), Claims: claims}
}

// link is Linker.Link that must succeed.
func (w *world) link(id symbolon.Identity) symbolon.Link {
	w.Helper()
	l, err := w.linker.Link(w.ctx, seen(id))
	w.must(err)
	if l.State != symbolon.Linked || l.User == "" || l.Identity != id.ID || l.Project != "default" || l.At.IsZero() {
		w.Fatalf("not a bond: %+v", l)
	}
	return l
}

// write is Store.Write with a plan that is known beforehand.
func (w *world) write(q symbolon.Query, plan symbolon.Plan) (symbolon.Outcome, error) {
	return w.Store.Write(w.ctx, q, func(symbolon.Evidence) (symbolon.Plan, error) { return plan, nil })
}

func (w *world) look(q symbolon.Query) symbolon.Evidence {
	w.Helper()
	h, err := w.Store.Read(w.ctx, q)
	w.must(err)
	return h
}

// history is the record of what must be known.
func (w *world) record(id string) symbolon.Record {
	w.Helper()
	r, err := w.Store.Record(w.ctx, "default", id)
	w.must(err)
	return r
}

// events lists the kinds in an identity's history.
func (w *world) events(id symbolon.IdentityID) string {
	w.Helper()
	var kinds []string
	for _, e := range w.record(string(id)).Events {
		kinds = append(kinds, string(e.Kind))
	}
	return strings.Join(kinds, " ")
}

func (w *world) findings(id symbolon.IdentityID) string {
	w.Helper()
	var kinds []string
	for _, f := range w.record(string(id)).Findings {
		kinds = append(kinds, string(f.Kind))
	}
	return strings.Join(kinds, " ")
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// wantErr checks which error it is.
func (w *world) wantErr(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("got error %v, want %v", err, want)
	}
}

func same[T comparable](w *world, what string, got, want T) {
	w.Helper()
	if got != want {
		w.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// unheard checks that not a trace of an identity is left.
func (w *world) unheard(id symbolon.Identity) {
	w.Helper()
	h := w.look(query(id))
	if h.Link != nil || h.Row != nil || h.User != nil {
		w.Fatalf("something is left of identity %s: %+v", id.ID, h)
	}
	_, err := w.Store.Record(w.ctx, "default", string(id.ID))
	w.wantErr(err, symbolon.ErrNotFound)
}

// plainOry is what a Store's proof needs of Ory: identities, read truly.
type plainOry struct {
	mu         sync.Mutex
	identities map[symbolon.IdentityID]symbolon.Identity
	noAdmin    bool
}

func (o *plainOry) put(id symbolon.Identity) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.identities[id.ID] = id
}

func (o *plainOry) remove(id symbolon.IdentityID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.identities, id)
}

func (o *plainOry) HasAdmin() bool { return !o.noAdmin }

func (o *plainOry) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if found, ok := o.identities[id]; ok {
		return found, nil
	}
	return symbolon.Identity{}, symbolon.ErrNotFound
}

// AddPublicMetadata is never asked for: the identities are an hour old.
func (o *plainOry) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, errors.New("the store suite writes nothing at Ory")
}
