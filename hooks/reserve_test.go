package hooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

// drawing is a ledger whose database makes the IDs.
type drawing struct {
	*ledger
	draw func(context.Context) (symbolon.UserID, error)
}

func (d drawing) Draw(ctx context.Context) (symbolon.UserID, error) { return d.draw(ctx) }

// TestReserveDraws checks the answers with an ID that the database makes. If it makes none
// within a second, the registration goes on.
func TestReserveDraws(t *testing.T) {
	gives := func(id symbolon.UserID) func(context.Context) (symbolon.UserID, error) {
		return func(context.Context) (symbolon.UserID, error) { return id, nil }
	}
	minter := mint.NewMinter("default", testSecrets...)
	for _, tt := range []struct {
		name, body string
		draw       func(context.Context) (symbolon.UserID, error)
		external   bool
		id         symbolon.UserID
		want       string // PROOF is replaced by the proof for id
		outcome    string
	}{
		{name: "a number", body: `{}`, draw: gives("42"), id: "42", outcome: Reserved,
			want: `{"identity":{"metadata_public":{"id":"42","id_reserved":"PROOF"}}}`},
		{name: "metadata of others", body: `{"metadata_public":{"plan":"gold"}}`, draw: gives("42"), id: "42", outcome: Reserved,
			want: `{"identity":{"metadata_public":{"plan":"gold","id":"42","id_reserved":"PROOF"}}}`},
		{name: "with external_id", body: `{}`, draw: gives("42"), external: true, id: "42", outcome: Reserved,
			want: `{"identity":{"metadata_public":{"id":"42","id_reserved":"PROOF"},"external_id":"42"}}`},
		{name: "a text with a quote", body: `{}`, draw: gives(`a"b`), id: `a"b`, outcome: Reserved,
			want: `{"identity":{"metadata_public":{"id":"a\"b","id_reserved":"PROOF"}}}`},
		{name: "none can be drawn", body: `{}`, draw: gives(""), outcome: Passed, want: `{}`},
		{name: "the database is down", body: `{}`, outcome: Undrawn, want: `{}`,
			draw: func(context.Context) (symbolon.UserID, error) { return "", errors.New("down") }},
		{name: "the database is silent", body: `{}`, outcome: Undrawn, want: `{}`,
			draw: func(ctx context.Context) (symbolon.UserID, error) { <-ctx.Done(); return "", ctx.Err() }},
		{name: "an ID is there", body: `{"metadata_public":{"id":"1"}}`, outcome: Passed, want: `{}`},
		{name: "a proof is there", body: `{"metadata_public":{"id_reserved":"r1.x"}}`, outcome: Passed, want: `{}`},
		{name: "metadata is a text", body: `{"metadata_public":"x"}`, outcome: Passed, want: `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, store := newHandler(&admin{})
				store.newID = symbolon.ByDatabase
				if tt.draw == nil {
					tt.draw = func(context.Context) (symbolon.UserID, error) {
						t.Error("an ID was drawn for nothing")
						return "", nil
					}
				}
				h.Linker.Store = drawing{store, tt.draw}
				h.Linker.BackReference.ExternalID = tt.external
				outcome := ""
				h.Observe = func(_, o string) { outcome = o }
				began := time.Now()
				w := post(serve(h), "/hooks/reserve", DeriveKeys(testSecrets).Reserve[0], tt.body)
				proof, _ := minter.Reserve(tt.id)
				if want := strings.ReplaceAll(tt.want, "PROOF", proof); w.Code != 200 || w.Body.String() != want || outcome != tt.outcome {
					t.Errorf("got  %d %s, outcome %s\nwant %s, outcome %s", w.Code, w.Body, outcome, want, tt.outcome)
				}
				if waited := time.Since(began); waited > time.Second { // by the clock of the bubble
					t.Errorf("the sign-up waited %v", waited)
				}
			})
		})
	}
}

// TestReserveAsksWho checks that no ID is drawn for an identity that is not eligible yet, and
// that a minted ID is reserved for each identity of the right schema. The body is that of the
// printed Jsonnet.
func TestReserveAsksWho(t *testing.T) {
	for _, tt := range []struct {
		schema, addresses string
		drawn, minted     bool
	}{
		{`"customer"`, `[{"verified":false},{"verified":true}]`, true, true},
		{`"customer"`, `[{"verified":false}]`, false, true},
		{`"customer"`, `null`, false, true},
		{`"machine"`, `[{"verified":true}]`, false, false},
		{`null`, `[{"verified":true}]`, false, false},
	} {
		ctx := `{"identity":{"schema_id":` + tt.schema + `,"verifiable_addresses":` + tt.addresses + `}}`
		body := evaluate(t, reserveBodyWhen, []byte(ctx))
		for newID, want := range map[symbolon.NewID]bool{symbolon.ByDatabase: tt.drawn, symbolon.ByMint: tt.minted} {
			h, store := newHandler(&admin{})
			store.newID = newID
			h.Linker.When = link.When{SchemaIDs: []string{"customer"}, Verified: true}
			draws := 0
			h.Linker.Store = drawing{store, func(context.Context) (symbolon.UserID, error) { draws++; return "42", nil }}
			w := post(serve(h), "/hooks/reserve", DeriveKeys(testSecrets).Reserve[0], string(body))
			if got := w.Body.String() != "{}"; w.Code != 200 || got != want || draws == 1 != (want && newID == symbolon.ByDatabase) {
				t.Errorf("%s, %s: %d %s, %d draws; want an ID: %v", ctx, newID, w.Code, w.Body, draws, want)
			}
		}
	}
}

// TestLinkBodySaysWho checks that without the admin API the body of the link hook decides who
// gets a user. A body that was printed before makes none, and the first request does.
func TestLinkBodySaysWho(t *testing.T) {
	for _, tt := range []struct {
		name, identity string
		printed        bool // with Linker.When
		paths          []string
		made           bool
	}{
		{"eligible", `"schema_id":"customer","verifiable_addresses":[{"value":"+1","via":"sms","verified":true}]`, true, nil, true},
		{"eligible, with its address", `"schema_id":"customer","verifiable_addresses":[{"value":"a@b.c","via":"email","verified":true}]`, true, []string{"verified_email"}, true},
		{"not verified", `"schema_id":"customer","verifiable_addresses":[{"value":"+1","via":"sms","verified":false}]`, true, nil, false},
		{"another schema", `"schema_id":"machine","verifiable_addresses":[{"verified":true}]`, true, nil, false},
		{"printed before", `"schema_id":"customer","verifiable_addresses":[{"verified":true}]`, false, nil, false},
	} {
		h, store := newHandler(&admin{})
		h.Linker.When = link.When{SchemaIDs: []string{"customer"}, Verified: true}
		body := evaluate(t, linkBody("id", tt.paths, false, tt.printed), []byte(fmt.Sprintf(`{"identity":{"id":%q,%s}}`, ann, tt.identity)))
		w := post(serve(h), "/hooks/link", DeriveKeys(testSecrets).Link[0], string(body))
		if w.Code != 200 || (len(store.users()) == 1) != tt.made || strings.Contains(w.Body.String(), Denied) == tt.made {
			t.Errorf("%s: %d %s, %v", tt.name, w.Code, w.Body, store.users())
		}
	}
	with, without := Actions{When: link.When{Verified: true}}, Actions{}
	if with.linkBody() == without.linkBody() || with.reserveBody() == without.reserveBody() {
		t.Error("Actions.When does not change the bodies")
	}
}

// TestLinkBodyCarriesTheProof checks that without the admin API a user gets the reserved ID
// from the body of the link hook.
func TestLinkBodyCarriesTheProof(t *testing.T) {
	proof, err := mint.NewMinter("default", testSecrets...).Reserve("42")
	if err != nil {
		t.Fatal(err)
	}
	for sent, want := range map[string]symbolon.UserID{proof: "42", "r1.forged": ""} {
		context := fmt.Sprintf(`{"identity":{"id":%q,"metadata_public":{"id":"42","id_reserved":%q}}}`, ann, sent)
		h, store := newHandler(&admin{})
		store.newID = symbolon.ByDatabase
		body := evaluate(t, linkBody("id", nil, true, false), []byte(context))
		if w := post(serve(h), "/hooks/link", DeriveKeys(testSecrets).Link[0], string(body)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if got := store.users()[ann].User; got != want {
			t.Errorf("with the proof %s the user is %q, want %q", sent, got, want)
		}
	}
}
