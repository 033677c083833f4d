package reconcile

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
)

const (
	ann = symbolon.IdentityID("1d000000-0000-4000-8000-000000000001")
	bob = symbolon.IdentityID("1d000000-0000-4000-8000-000000000002")
)

// linked is the entry of ann and user 42, in order.
func linked(change func(*symbolon.Entry)) *symbolon.Entry {
	row := &symbolon.Row{ID: "42", Identity: ann, Linked: ann}
	e := &symbolon.Entry{Held: symbolon.Held{Link: &symbolon.Link{Identity: ann, User: "42", State: symbolon.Linked}, User: row, Row: row}, Digest: "d"}
	if change != nil {
		change(e)
	}
	return e
}

func held(why symbolon.FindingKind) *symbolon.Entry {
	return &symbolon.Entry{Held: symbolon.Held{Link: &symbolon.Link{Identity: ann, State: symbolon.OnHold, Reason: why}}}
}

func TestDiff(t *testing.T) {
	other := &symbolon.Row{ID: "7", Identity: ann}
	for _, tt := range []struct {
		name     string
		metadata string
		entry    *symbolon.Entry
		want     string // kinds; "-" in front where no back-reference stands there
	}{
		{"nothing is known", ``, nil, "unlinked_identity"},
		{"nothing is known, odd metadata", `[1]`, nil, "unlinked_identity"},
		{"in order", `{"id":"42"}`, linked(nil), ""},
		{"in order, a number", `{"id": 42}`, linked(nil), ""},
		{"in order, others' metadata", `{"id":"42","plan":"gold"}`, linked(nil), ""},
		{"no metadata", ``, linked(nil), "-"},
		{"null", `null`, linked(nil), "-"},
		{"no key", `{"plan":"gold"}`, linked(nil), "-"},
		{"null at the key", `{"id":null}`, linked(nil), "-"},
		{"empty", `{"id":""}`, linked(nil), "-"},
		{"another's ID", `{"id":"7"}`, linked(nil), "foreign_back_reference"},
		{"an object", `{"id":{}}`, linked(nil), "foreign_back_reference"},
		{"a fraction", `{"id":42.0}`, linked(nil), "foreign_back_reference"},
		{"a text", `"42"`, linked(nil), "metadata_not_object"},
		{"a list", `["42"]`, linked(nil), "metadata_not_object"},
		{"stale", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Digest = "old" }), "stale_columns"},
		{"stale and left out", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Digest, e.LeftOut = "old", true }), "stale_columns"},
		{"never written, foreign", `{"id":"7"}`, linked(func(e *symbolon.Entry) { e.Digest = "" }), "stale_columns foreign_back_reference"},
		{"left out", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.LeftOut = true }), "column_refused"},
		{"row gone", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.User, e.Row = nil, nil }), "user_gone"},
		{"row gone, another holds it", ``, linked(func(e *symbolon.Entry) { e.User, e.Row = nil, other }), "column_disagrees"},
		{"another row holds it", ``, linked(func(e *symbolon.Entry) { e.Row = other }), "column_disagrees"},
		{"row holds another", ``, linked(func(e *symbolon.Entry) { e.User, e.Row = &symbolon.Row{ID: "42", Identity: bob}, nil }), "column_disagrees"},
		{"row holds none", ``, linked(func(e *symbolon.Entry) { e.User, e.Row = &symbolon.Row{ID: "42"}, nil }), "column_disagrees"},
		{"row holds it in capitals", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Row = nil }), ""},
		{"held", ``, held(symbolon.ClaimedByOther), "claimed_by_other"},
		{"held, cannot create", ``, held(symbolon.CannotCreate), "cannot_create"},
		{"held, moved", ``, held(symbolon.Moved), "moved"},
		{"forgotten", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Link.State, e.User, e.Row = symbolon.Forgotten, nil, nil }), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pair{identity: &symbolon.Identity{ID: ann, MetadataPublic: json.RawMessage(tt.metadata)}, entry: tt.entry}
			j := diff(p, "d", rules{key: "id"})
			var got []string
			for _, f := range j.findings {
				got = append(got, string(f.Kind))
				if f.Identity != ann || f.Detail == "" || Mends(f.Kind) != (f.Repair != "") {
					t.Errorf("%+v", f)
				}
				if !slices.Contains(Kinds(), f.Kind) {
					t.Errorf("%s is not among the kinds", f.Kind)
				}
			}
			if j.noBackReference {
				got = append([]string{"-"}, got...)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%q, want %q", s, tt.want)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	id := func(n byte) symbolon.IdentityID { return symbolon.IdentityID(n) }
	ids := func(s string) (out []symbolon.Identity) {
		for i := range len(s) {
			out = append(out, symbolon.Identity{ID: id(s[i])})
		}
		return out
	}
	entries := func(s string) (out []symbolon.Entry) {
		for i := range len(s) {
			out = append(out, symbolon.Entry{Held: symbolon.Held{Link: &symbolon.Link{Identity: id(s[i])}}})
		}
		return out
	}
	for _, tt := range []struct{ ids, entries, want string }{
		{"", "", ""}, {"abc", "abc", "=a=b=c"}, {"ac", "bd", "+a-b+c-d"}, {"", "ab", "-a-b"}, {"ab", "", "+a+b"},
		{"bc", "ab", "-a=b+c"}, {"abd", "bcd", "+a=b-c=d"}, {"a", "ba", "!"}, {"a", "bb", "!"},
	} {
		pairs, err := merge(ids(tt.ids), entries(tt.entries), nil)
		got := ""
		for _, p := range pairs {
			switch {
			case p.entry == nil:
				got += "+" + string(p.identity.ID)
			case p.identity == nil:
				got += "-" + string(p.entry.Link.Identity)
			default:
				got += "=" + string(p.identity.ID)
			}
		}
		if err != nil {
			got = "!"
		}
		if got != tt.want {
			t.Errorf("%s beside %s: %s, want %s", tt.ids, tt.entries, got, tt.want)
		}
	}
}
