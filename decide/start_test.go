package decide

import (
	"errors"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// TestStart checks who gets a fresh user while the start of the project is not settled. The
// ledger was made at testNow.
func TestStart(t *testing.T) {
	minter := mint.NewMinter("default", newKey)
	minted := minter.Mint(testNow)
	voucher, err := minter.Voucher("7")
	if err != nil {
		t.Fatal(err)
	}
	unsettled := symbolon.Start{CreatedAt: testNow}
	settled := symbolon.Start{CreatedAt: testNow, SettledAt: testNow, SettledBy: "adopt"}
	held := func(why symbolon.FindingKind) *symbolon.Link {
		return &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: why}
	}
	free := []symbolon.Claimed{{}, {}, {Row: &symbolon.Row{ID: "7"}}}
	for name, test := range map[string]struct {
		age      time.Duration // since its creation, when the ledger was made
		unknown  bool          // Ory does not say when it was created
		source   symbolon.Source
		start    symbolon.Start
		metadata string
		admin    string
		evidence symbolon.Evidence
		unread   bool // whoami only, with an admin URL
		action   symbolon.Action
		asks     Question
		finding  symbolon.FindingKind
	}{
		"older":                           {age: time.Hour, start: unsettled, action: symbolon.Wait},
		"older, settled":                  {age: time.Hour, start: settled, action: symbolon.Create},
		"older, by the link hook":         {age: time.Hour, source: symbolon.FromLinkHook, start: unsettled, action: symbolon.Wait},
		"of the same moment":              {start: unsettled, action: symbolon.Wait},
		"of the same moment, by the hook": {source: symbolon.FromLinkHook, start: unsettled, action: symbolon.Create},
		"the clocks differ by 29 s":       {age: -29 * time.Second, start: unsettled, action: symbolon.Wait},
		"Ory's clock is 29 s late, hook":  {age: 29 * time.Second, source: symbolon.FromLinkHook, start: unsettled, action: symbolon.Create},
		"younger":                         {age: -31 * time.Second, start: unsettled, action: symbolon.Create},
		"its age is not known":            {unknown: true, start: unsettled, action: symbolon.Wait},
		"its age is not known, hook":      {unknown: true, source: symbolon.FromLinkHook, start: unsettled, action: symbolon.Wait},
		"the start is not known":          {age: time.Hour, asks: Question{Start: true}},
		"not read over the admin API":     {age: -time.Hour, start: settled, unread: true, asks: Question{Identity: true}},
		"minted":                          {age: time.Hour, start: unsettled, metadata: `{"id":"` + string(minted) + `"}`, action: symbolon.Create},
		"minted, not read":                {age: time.Hour, unread: true, metadata: `{"id":"` + string(minted) + `"}`, action: symbolon.Create},
		"a guest":                         {age: time.Hour, start: unsettled, admin: `{"symbolon":{"user":"7","proof":"` + voucher.Proof + `"}}`, evidence: symbolon.Evidence{Claims: free}, action: symbolon.Attach},
		"its row":                         {age: time.Hour, start: unsettled, evidence: symbolon.Evidence{Row: &symbolon.Row{ID: "7", Identity: alice}}, action: symbolon.Attach},
		"an unproved claim":               {age: time.Hour, start: unsettled, metadata: `{"id":"7"}`, action: symbolon.Wait},
		"ambiguous":                       {age: time.Hour, start: settled, evidence: symbolon.Evidence{Link: held(symbolon.AdoptAmbiguous)}, action: symbolon.Hold, finding: symbolon.AdoptAmbiguous},
		"ambiguous, with a voucher":       {age: time.Hour, start: settled, admin: `{"symbolon":{"user":"7","proof":"` + voucher.Proof + `"}}`, evidence: symbolon.Evidence{Link: held(symbolon.AdoptAmbiguous), Claims: free}, action: symbolon.Attach},
		"the table refused it before":     {age: time.Hour, start: unsettled, evidence: symbolon.Evidence{Link: held(symbolon.CannotCreate)}, action: symbolon.Wait},
	} {
		t.Run(name, func(t *testing.T) {
			id := symbolon.Identity{ID: alice, MetadataPublic: []byte(test.metadata), MetadataAdmin: []byte(test.admin), CreatedAt: testNow.Add(-test.age)}
			if test.unknown {
				id.CreatedAt = time.Time{}
			}
			r := symbolon.Reading{Identity: id, Source: test.source, Admin: !test.unread}
			p := Policy{Minter: minter, Key: "id", NewID: symbolon.ByMint, Fresh: func() symbolon.UserID { return "fresh" }, Admin: true, Start: &test.start}
			plan, asked := Identity(r, test.evidence, p)
			if plan.Action != test.action || asked != test.asks {
				t.Errorf("got %s %+v, want %s %+v", plan.Action, asked, test.action, test.asks)
			}
			if kinds := findingKinds(plan); kinds != string(test.finding) {
				t.Errorf("findings %q", kinds)
			}
			denied, isDenial := errors.AsType[*symbolon.DenyError](plan.Err)
			if waits := test.action == symbolon.Wait; waits && (!isDenial || denied.Finding != symbolon.NotAdopted || !errors.Is(denied, symbolon.ErrOnHold)) {
				t.Errorf("%v", plan.Err)
			}
		})
	}
}
