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

// StoreFixture is a Store for TestStore, with functions that act as the application that
// owns the users table. Functions report errors to the test. A function that may be nil
// says so. All others are required.
type StoreFixture struct {
	// Store uses an empty database. Its project is "default". If it fills a column with
	// the e-mail address, the address comes from traits.email.
	Store symbolon.Store

	// Again opens another Store on the same database, as a second process would.
	Again func() symbolon.Store

	// InsertUser inserts a row as the application does and returns its ID. If identity is
	// empty, the identity column is null.
	InsertUser func(identity symbolon.IdentityID) symbolon.UserID

	// DeleteUser deletes a row. SetIdentity writes the identity column of a row; an empty
	// identity means null.
	DeleteUser  func(symbolon.UserID)
	SetIdentity func(symbolon.UserID, symbolon.IdentityID)

	// Users returns the ID and the identity column of all rows.
	Users func() map[symbolon.UserID]symbolon.IdentityID

	// InTx runs f in a transaction of the application. It commits if f returns nil, and
	// rolls back otherwise.
	InTx func(f func(symbolon.Execer) error)

	// OneColumn is set if the key of the table is the identity's ID. Each user then has
	// an identity and cannot move to another.
	OneColumn bool

	// Email reads the column that is filled from traits.email. nil: there is no such
	// column.
	Email func(symbolon.UserID) string

	// OnLink sets the function that the store calls in the transaction of a new link. f
	// writes through the Execer. nil: the store has no such hook.
	OnLink func(f func(ctx context.Context, tx symbolon.Execer, link symbolon.Link) error)

	// Scribble inserts a row into a table that only this test uses, and Scribbled counts
	// its rows. They show whether OnLink and the link share a transaction. Both are used
	// only with OnLink.
	Scribble  func(ctx context.Context, tx symbolon.Execer) error
	Scribbled func() int

	// Stop makes the database refuse writes until start is called. nil: it cannot be
	// stopped.
	Stop func() (start func())

	// Compact deletes history that is older than before. The events that are left must
	// still rebuild the ledger. nil: the store deletes no history.
	Compact func(ctx context.Context, before time.Time) error
}

// TestStore tests a Store against the contracts of symbolon.Store and symbolon.Plan,
// mostly through a Linker. It calls open for every subtest. Run it with -race.
func TestStore(t *testing.T, open func(t *testing.T) StoreFixture) {
	tests := []struct {
		name string
		run  func(*world)
	}{
		{"an unknown identity has no entry", testNobody},
		{"a new person gets a user, once", testCreate},
		{"a decision that fails leaves nothing", testDecisionFails},
		{"invalid identity IDs", testIdentityForms},
		{"invalid user IDs", testUserForms},
		{"the application's row is the link", testRowEvidence},
		{"the evidence of claims", testClaims},
		{"a reserved ID is used once", testReserved},
		{"a voucher binds an existing user", testVoucher},
		{"a claim on another identity's user", testClaimedByOther},
		{"a claim on the user of a deleted identity", testRecreatedIdentity},
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
		{"a further identity", testFurther},
		{"a further identity is refused", testFurtherRefused},
		{"the user of a further identity ends", testFurtherUserEnds},
		{"merge and undo", testMerge},
		{"merge of users that were moved", testMergeOfMoved},
		{"an undo leaves orders", testUndoLeavesOrders},
		{"merge refuses", testMergeRefused},
		{"merges race", testMergeRaces},
		{"the application makes its users itself", testApplication},
		{"bind swaps two users", testSwap},
		{"an identity that was proved gone", testBuried},
		{"an identity that was gone before it was linked", testBuriedUnheard},
		{"the row of an identity that is gone", testBuriedRow},
		{"no proof without a control", testProofNeedsControl},
		{"erase", testErased},
		{"a user goes to the identity that claims it", testRebind},
		{"the start of a project", testStart},
		{"the start of a project with users", testStartWithUsers},
		{"two processes start at once", testStartRaces},
		{"the start is settled while requests run", testSettleRaces},
		{"adopt and undo", testAdopt},
		{"adopt an identity on hold", testAdoptHeld},
		{"adopt refuses", testAdoptRefuses},
		{"concurrent adoptions", testAdoptRaces},
		{"the transaction of OnLink", testOnLink},
		{"projects do not mix", testProjects},
		{"records", testRecords},
		{"concurrent calls for the same identities", testDuplicates},
		{"concurrent calls for many identities", testCrowd},
		{"one reserved ID for many identities", testOneIDForMany},
		{"the limit of conflicts is exact", testBreaker},
		{"LinkAll", testLinkAll},
		{"CreateAll makes only plain Creates", testCreateAll},
		{"Link and LinkAll at once", testLinkAllRaces},
		{"one reserved ID for many, LinkAll", testLinkAllOneID},
		{"the transaction of OnLink, LinkAll", testLinkAllOnLink},
		{"a caller that gives up, LinkAll", testLinkAllGivesUp},
		{"the history rebuilds the ledger", testHistory},
		{"a caller that gives up", testCancel},
		{"a database that is stopped", testStopped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(newWorld(t, open(t))) })
	}
}

// world is the world of one subtest: a store, a fake Ory, and a linker.
type world struct {
	*testing.T
	StoreFixture
	ctx    context.Context
	ory    *plainOry
	app    *plainApp // used if the application creates its users
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
	w.start() // the table is empty, so the start is settled
	return w
}

// start returns the start of the project. It tries again if the database did not answer.
func (w *world) start() symbolon.Start {
	w.Helper()
	start, err := w.Store.Start(w.ctx, "default")
	for tries := 0; errors.Is(err, symbolon.ErrUnavailable) && tries < 5; tries++ {
		start, err = w.Store.Start(w.ctx, "default")
	}
	w.must(err)
	return start
}

func (w *world) newLinker(store symbolon.Store, secrets ...symbolon.Secret) *link.Linker {
	return &link.Linker{Ory: w.ory, Store: store, Creator: w.app, Secrets: secrets, Log: slog.New(slog.DiscardHandler)}
}

// identity creates an identity at the fake Ory.
func (w *world) identity(email string) symbolon.Identity {
	id := symbolon.Identity{ID: newIdentityID(), State: symbolon.Active, CreatedAt: time.Now().Add(-time.Hour),
		Traits: json.RawMessage(fmt.Sprintf(`{"email":%q}`, email))}
	w.ory.put(id)
	return id
}

// claiming creates an identity with a value in metadata_public.id.
func (w *world) claiming(value any) symbolon.Identity {
	id := w.identity("")
	id.MetadataPublic, _ = json.Marshal(map[string]any{"id": value})
	w.ory.put(id)
	return id
}

// reserve reserves an ID. It returns false if the store reserves none.
func (w *world) reserve() (r link.Reservation, ok bool) {
	w.Helper()
	r, err := w.linker.Reserve(w.ctx, symbolon.Identity{})
	for tries := 0; errors.Is(err, symbolon.ErrUnavailable) && tries < 20; tries++ { // on a busy machine a second may be too short
		r, err = w.linker.Reserve(w.ctx, symbolon.Identity{})
	}
	w.must(err)
	if r.User == "" {
		w.Log("this store reserves no IDs")
	}
	return r, r.User != ""
}

// carrying creates an identity with a reserved ID.
func (w *world) carrying(r link.Reservation) symbolon.Identity {
	id := w.identity("")
	id.MetadataPublic, _ = json.Marshal(map[string]any{"id": r.User, mint.ReservedKey("id"): r.Proof})
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

// link calls Linker.Link, which must succeed.
func (w *world) link(id symbolon.Identity) symbolon.Link {
	w.Helper()
	l, err := w.linker.Link(w.ctx, seen(id))
	w.must(err)
	if l.State != symbolon.Linked || l.User == "" || l.Identity != id.ID || l.Project != "default" || l.At.IsZero() {
		w.Fatalf("not a bond: %+v", l)
	}
	return l
}

// write calls Store.Write with a fixed plan.
func (w *world) write(q symbolon.Query, plan symbolon.Plan) (symbolon.Outcome, error) {
	return w.Store.Write(w.ctx, q, func(symbolon.Evidence) (symbolon.Plan, error) { return plan, nil })
}

func (w *world) look(q symbolon.Query) symbolon.Evidence {
	w.Helper()
	h, err := w.Store.Read(w.ctx, q)
	w.must(err)
	return h
}

// record returns the record of an ID, which must exist.
func (w *world) record(id string) symbolon.Record {
	w.Helper()
	r, err := w.Store.Record(w.ctx, "default", id)
	w.must(err)
	return r
}

// events returns the kinds of an identity's events.
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

// wantErr checks an error with errors.Is.
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

// unheard checks that the database has nothing of an identity.
func (w *world) unheard(id symbolon.Identity) {
	w.Helper()
	h := w.look(query(id))
	if h.Link != nil || h.Row != nil || h.User != nil {
		w.Fatalf("something is left of identity %s: %+v", id.ID, h)
	}
	_, err := w.Store.Record(w.ctx, "default", string(id.ID))
	w.wantErr(err, symbolon.ErrNotFound)
}

// plainOry is a minimal fake Ory that returns stored identities.
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

// AddPublicMetadata is never called, because the identities are an hour old.
func (o *plainOry) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, errors.New("the store suite writes nothing at Ory")
}
