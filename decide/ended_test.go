package decide

import (
	"testing"

	"github.com/symbolon-id/symbolon"
)

// TestEnd checks the plan for the entry and the row of an identity whose link ends.
func TestEnd(t *testing.T) {
	r := symbolon.Reading{Identity: symbolon.Identity{ID: alice}}
	entry := func(state symbolon.LinkState, user symbolon.UserID) *symbolon.Link {
		return &symbolon.Link{Identity: alice, State: state, User: user}
	}
	own := &symbolon.Row{ID: "a", Identity: alice, Linked: alice}
	tests := []struct {
		name     string
		evidence symbolon.Evidence
		state    symbolon.LinkState
		row      symbolon.RowPolicy
		want     symbolon.Plan
	}{
		{"linked, keep", symbolon.Evidence{Link: entry(symbolon.Linked, "a"), User: own, Row: own}, symbolon.Gone, symbolon.KeepRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, Row: symbolon.KeepRow, User: "a"}},
		{"linked, delete", symbolon.Evidence{Link: entry(symbolon.Linked, "a"), User: own, Row: own}, symbolon.Gone, symbolon.DeleteRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, Row: symbolon.DeleteRow, User: "a", Retire: "a"}},
		{"linked, the row is missing", symbolon.Evidence{Link: entry(symbolon.Linked, "a")}, symbolon.Gone, symbolon.AnonymiseRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, User: "a", Retire: "a"}},
		{"linked, but the row holds another identity", symbolon.Evidence{Link: entry(symbolon.Linked, "a"), User: &symbolon.Row{ID: "a", Identity: bob, Linked: alice}}, symbolon.Gone, symbolon.DeleteRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, User: "a"}},
		{"linked, but another user's row holds the identity", symbolon.Evidence{Link: entry(symbolon.Linked, "a"), Row: &symbolon.Row{ID: "b", Identity: alice}}, symbolon.Erased, symbolon.DeleteRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Erased, User: "a"}},
		{"a row that the application filled", symbolon.Evidence{Row: &symbolon.Row{ID: "a", Identity: alice}}, symbolon.Gone, symbolon.DeactivateRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, Row: symbolon.DeactivateRow, User: "a"}},
		{"a row that the application filled, linked to another identity", symbolon.Evidence{Row: &symbolon.Row{ID: "a", Identity: alice, Linked: bob}}, symbolon.Gone, symbolon.DeleteRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, User: "a"}},
		{"an unknown identity", symbolon.Evidence{}, symbolon.Gone, symbolon.DeleteRow, symbolon.Plan{Action: symbolon.End, State: symbolon.Gone}},
		{"on hold, and another identity has its former user", symbolon.Evidence{Link: entry(symbolon.OnHold, "a")}, symbolon.Erased, symbolon.DeleteRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Erased}},
		{"gone already, keep", symbolon.Evidence{Link: entry(symbolon.Gone, "a"), User: own, Row: own}, symbolon.Gone, symbolon.KeepRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, Row: symbolon.KeepRow, User: "a"}}, // only the store knows whether the table refused before
		{"gone already, but the table had refused", symbolon.Evidence{Link: entry(symbolon.Gone, "a"), User: own, Row: own}, symbolon.Gone, symbolon.DeleteRow,
			symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, Row: symbolon.DeleteRow, User: "a", Retire: "a"}},
		{"gone already, with its row", symbolon.Evidence{Link: entry(symbolon.Gone, "a")}, symbolon.Gone, symbolon.DeleteRow, symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, User: "a", Retire: "a"}},
		{"erased already, its row is left for later", symbolon.Evidence{Link: entry(symbolon.Erased, "a"), User: own, Row: own}, symbolon.Erased, "", symbolon.Plan{Action: symbolon.Keep, User: "a"}},
		{"gone, then erased", symbolon.Evidence{Link: entry(symbolon.Gone, "a"), User: own, Row: own}, symbolon.Erased, "",
			symbolon.Plan{Action: symbolon.End, State: symbolon.Erased, User: "a", Retire: "a"}},
		{"erased, then gone", symbolon.Evidence{Link: entry(symbolon.Erased, "a")}, symbolon.Gone, symbolon.KeepRow, symbolon.Plan{Action: symbolon.End, State: symbolon.Erased, User: "a", Retire: "a"}},
		{"forgotten", symbolon.Evidence{Link: entry(symbolon.Forgotten, "a")}, symbolon.Gone, symbolon.DeactivateRow, symbolon.Plan{Action: symbolon.End, State: symbolon.Gone, User: "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := End(r, tt.evidence, tt.state, tt.row, "")
			if got.Action != tt.want.Action || got.State != tt.want.State || got.Row != tt.want.Row || got.User != tt.want.User || got.Retire != tt.want.Retire {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}
