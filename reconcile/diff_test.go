package reconcile

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
)

const (
	ann = symbolon.IdentityID("1d000000-0000-4000-8000-000000000001")
	bob = symbolon.IdentityID("1d000000-0000-4000-8000-000000000002")
)

// linked returns the entry of ann and user 42, without a difference.
func linked(change func(*symbolon.Entry)) *symbolon.Entry {
	row := &symbolon.Row{ID: "42", Identity: ann, Linked: ann}
	e := &symbolon.Entry{Evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: ann, User: "42", State: symbolon.Linked}, User: row, Row: row}, Digest: "d"}
	if change != nil {
		change(e)
	}
	return e
}

func held(why symbolon.FindingKind) *symbolon.Entry {
	return &symbolon.Entry{Evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: ann, State: symbolon.OnHold, Reason: why}}}
}

func no() *bool { v := false; return &v }

func yes() *bool { v := true; return &v }

// opened returns findings of ann by kinds, such as "kind kind".
func opened(kinds string) (out []symbolon.Finding) {
	for kind := range strings.FieldsSeq(kinds) {
		out = append(out, symbolon.Finding{Kind: symbolon.FindingKind(kind), Identity: ann, User: "7", Detail: "as the ledger says"})
	}
	return out
}

func kindsOf(findings []Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, string(f.Kind))
	}
	return strings.Join(out, " ")
}

func TestDiff(t *testing.T) {
	other := &symbolon.Row{ID: "7", Identity: ann}
	in := func(s symbolon.LinkState) *symbolon.Entry {
		return linked(func(e *symbolon.Entry) { e.Link.State, e.User, e.Row = s, nil, nil })
	}
	for _, tt := range []struct {
		name     string
		metadata string
		entry    *symbolon.Entry
		open     string
		want     string // kinds; "-" first if the back-reference is missing
	}{
		{"nothing is known", ``, nil, "", "unlinked_identity"},
		{"nothing is known, invalid metadata", `[1]`, nil, "", "unlinked_identity"},
		{"in order", `{"id":"42"}`, linked(nil), "", ""},
		{"in order, a number", `{"id": 42}`, linked(nil), "", ""},
		{"in order, others' metadata", `{"id":"42","plan":"gold"}`, linked(nil), "", ""},
		{"no metadata", ``, linked(nil), "", "-"},
		{"null", `null`, linked(nil), "", "-"},
		{"no key", `{"plan":"gold"}`, linked(nil), "", "-"},
		{"null at the key", `{"id":null}`, linked(nil), "", "-"},
		{"empty", `{"id":""}`, linked(nil), "", "-"},
		{"the text null", `{"id":"null"}`, linked(nil), "", "foreign_back_reference"},
		{"another's ID", `{"id":"7"}`, linked(nil), "", "foreign_back_reference"},
		{"another's ID, claimed", `{"id":"7"}`, linked(nil), "claimed_by_other", "claimed_by_other"},
		{"an object", `{"id":{}}`, linked(nil), "", "foreign_back_reference"},
		{"a fraction", `{"id":42.0}`, linked(nil), "", "foreign_back_reference"},
		{"a text", `"42"`, linked(nil), "", "metadata_not_object"},
		{"a list", `["42"]`, linked(nil), "", "metadata_not_object"},
		{"stale", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Digest = "old" }), "", "stale_columns"},
		{"stale and left out", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Digest, e.LeftOut = "old", true }), "duplicate_email", "stale_columns"},
		{"stale and of another state", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Digest, e.Active = "old", no() }), "", "stale_columns"},
		{"never written, foreign", `{"id":"7"}`, linked(func(e *symbolon.Entry) { e.Digest = "" }), "", "stale_columns foreign_back_reference"},
		{"left out", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.LeftOut = true }), "", "column_refused"},
		{"left out, the e-mail", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.LeftOut = true }), "duplicate_email", "duplicate_email"},
		{"left out, both", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.LeftOut, e.Active = true, no() }), "column_refused duplicate_email", "duplicate_email column_refused"},
		{"of the same state", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Active = yes() }), "", ""},
		{"of another state", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Active = no() }), "", "state_mismatch"},
		{"row gone", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.User, e.Row = nil, nil }), "", "user_gone"},
		{"row gone, another row has the identity", ``, linked(func(e *symbolon.Entry) { e.User, e.Row = nil, other }), "", "column_disagrees"},
		{"another row has the identity", ``, linked(func(e *symbolon.Entry) { e.Row = other }), "", "column_disagrees"},
		{"row holds another", ``, linked(func(e *symbolon.Entry) { e.User, e.Row = &symbolon.Row{ID: "42", Identity: bob}, nil }), "", "column_disagrees"},
		{"the row has no identity", ``, linked(func(e *symbolon.Entry) { e.User, e.Row = &symbolon.Row{ID: "42"}, nil }), "", "column_disagrees"},
		{"the row has the identity in capitals", `{"id":"42"}`, linked(func(e *symbolon.Entry) { e.Row = nil }), "", ""},
		{"held, claimed", ``, held(symbolon.ClaimedByOther), "claimed_by_other", "claimed_by_other"},
		{"held, cannot create", ``, held(symbolon.CannotCreate), "", "cannot_create"},
		{"held, recreated", ``, held(symbolon.RecreatedIdentity), "recreated_identity", "recreated_identity"},
		{"held, moved", ``, held(symbolon.Moved), "", "moved"},
		{"held, not verified", ``, held(symbolon.UnverifiedEmail), "", "unverified_email"},
		{"a void voucher", `{"id":"42"}`, linked(nil), "voucher_void", "voucher_void"},
		{"a void invite, with the ID of its user", `{"id":"7","id_invited":"x"}`, linked(nil), "invite_void", "invite_void"},
		{"a void invite", `{"id":"42","id_invited":"x"}`, linked(nil), "invite_void", "invite_void"},
		{"a void invite that was removed", `{"id":"42"}`, linked(nil), "invite_void", ""},
		{"forgotten", `{"id":"42"}`, in(symbolon.Forgotten), "", ""},
		{"further, whatever Ory says of it", `{"id":"7"}`, in(symbolon.Also), "moved claimed_by_other", ""},
		{"gone, and there again", `{"id":"42"}`, in(symbolon.Gone), "", "identity_returned"},
		{"erased, and there again", ``, in(symbolon.Erased), "", "identity_returned"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pair{identity: &symbolon.Identity{ID: ann, MetadataPublic: json.RawMessage(tt.metadata)}, entry: tt.entry, open: opened(tt.open)}
			if tt.want == "voucher_void" {
				p.identity.MetadataAdmin = json.RawMessage(`{"symbolon":{"user":"9"}}`)
			}
			j := diff(p, "d", rules{key: "id"})
			for _, f := range j.findings {
				if f.Identity != ann || f.Detail == "" || Repairs(f.Kind) != (f.Repair != "") {
					t.Errorf("%+v", f)
				}
				if !slices.Contains(Kinds(), f.Kind) {
					t.Errorf("%s is not among the kinds", f.Kind)
				}
			}
			got := kindsOf(j.findings)
			if j.noBackReference {
				got = strings.TrimSpace("- " + got)
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestDiffUnderRepair checks that only with repair a missing back-reference is a finding.
func TestDiffUnderRepair(t *testing.T) {
	p := pair{identity: &symbolon.Identity{ID: ann}, entry: linked(nil)}
	if got := kindsOf(diff(pair{identity: p.identity}, "d", rules{key: "id", when: link.When{SchemaIDs: []string{"customer"}}}).findings); got != "" {
		t.Errorf("an identity that gets no user: %s", got)
	}
	if got := kindsOf(diff(p, "d", rules{key: "id", repair: true}).findings); got != "missing_back_reference" {
		t.Error(got)
	}
}

// TestOver checks which open findings a comparison closes.
func TestOver(t *testing.T) {
	everything := ""
	for _, k := range Kinds() {
		everything += string(k) + " "
	}
	in := func(s symbolon.LinkState) *symbolon.Entry {
		return linked(func(e *symbolon.Entry) { e.Link.State = s })
	}
	ours := "unlinked_identity stale_columns state_mismatch orphan_user missing_back_reference identity_returned"
	for _, tt := range []struct {
		name     string
		identity *symbolon.Identity
		entry    *symbolon.Entry
		found    string
		stays    string // the findings that stay open
	}{
		{"no difference", &symbolon.Identity{ID: ann, MetadataPublic: json.RawMessage(`{"id":"42"}`)}, linked(nil), "", "row_kept"},
		{"it is found again", &symbolon.Identity{ID: ann}, linked(nil), "user_gone stale_columns", "row_kept user_gone stale_columns"},
		{"a column is still left out", &symbolon.Identity{ID: ann}, linked(func(e *symbolon.Entry) { e.LeftOut = true }), "duplicate_email", "row_kept duplicate_email duplicate_value column_refused"},
		{"it is stale", &symbolon.Identity{ID: ann}, linked(func(e *symbolon.Entry) { e.Digest = "old" }), "stale_columns", "row_kept stale_columns duplicate_email duplicate_value column_refused"},
		{"still claims another user", &symbolon.Identity{ID: ann, MetadataPublic: json.RawMessage(`{"id":"7"}`)}, linked(nil), "", "row_kept foreign_back_reference claimed_by_other voucher_void"},
		{"still claims another user, by external_id", &symbolon.Identity{ID: ann, ExternalID: "7"}, linked(nil), "", "row_kept foreign_back_reference claimed_by_other voucher_void"},
		{"by a voucher", &symbolon.Identity{ID: ann, MetadataAdmin: json.RawMessage(`{"symbolon":{"user":"7"}}`)}, linked(nil), "", "row_kept foreign_back_reference claimed_by_other voucher_void"},
		{"odd paper", &symbolon.Identity{ID: ann, MetadataAdmin: json.RawMessage(`{"symbolon":7}`)}, linked(nil), "", "row_kept voucher_void"},
		{"odd metadata", &symbolon.Identity{ID: ann, MetadataPublic: json.RawMessage(`7`)}, linked(nil), "metadata_not_object", "row_kept metadata_not_object foreign_back_reference claimed_by_other voucher_void"},
		{"unknown", &symbolon.Identity{ID: ann}, nil, "unlinked_identity", strings.Replace(everything, ours[len("unlinked_identity "):], "", 1)},
		{"on hold", &symbolon.Identity{ID: ann}, held(symbolon.Moved), "moved", ""},
		{"not in the listing", nil, linked(nil), "", everything},
		{"not in the listing, unknown", nil, nil, "", ""},
		{"not in the listing, gone", nil, in(symbolon.Gone), "", "row_kept"},
		{"forgotten", &symbolon.Identity{ID: ann}, in(symbolon.Forgotten), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pair{identity: tt.identity, entry: tt.entry, open: opened(everything)}
			var found []Finding
			for _, f := range opened(tt.found) {
				found = append(found, Finding{Kind: f.Kind})
			}
			ended := map[symbolon.FindingKind]bool{}
			for _, f := range resolved(p, found, "d", rules{key: "id"}) {
				ended[f.Kind] = true
			}
			for _, k := range Kinds() {
				stays := slices.Contains(strings.Fields(tt.stays), string(k))
				switch tt.name { // these cases are given by the findings that close
				case "unknown":
					stays = !slices.Contains(strings.Fields(ours), string(k)) || strings.Contains(tt.found, string(k))
				case "not in the listing, unknown":
					stays = k != UnlinkedIdentity && k != OrphanUser
				case "forgotten", "on hold": // it has no row
					stays = !slices.Contains(strings.Fields(ours+" user_gone column_disagrees duplicate_email duplicate_value column_refused"), string(k)) ||
						strings.Contains(tt.found, string(k))
				}
				if ended[k] == stays {
					t.Errorf("%s: ended %v", k, ended[k])
				}
			}
		})
	}
}

// TestClaims ignores a user ID that the databases cannot store. Otherwise one such
// identity would stop every run.
func TestClaims(t *testing.T) {
	for _, tt := range []struct{ public, external, admin, want string }{
		{``, "", ``, ""},
		{`{"id":"42"}`, "7", `{"symbolon":{"user":"9","proof":"x"}}`, "42 7 9"},
		{`{"id":42}`, "", `{"symbolon":"x"}`, "42"},
		{`{"id":null}`, "", `null`, ""},
		{`[42]`, "", `[]`, ""},
		{`{"id":"a\u0000b"}`, "\x00", `{"symbolon":{"user":"\ud800"}}`, ""},
		{`{"id":"` + strings.Repeat("a", 256) + `"}`, "\xff", `{}`, ""},
	} {
		var got []string
		for _, u := range claimedUsers(&symbolon.Identity{MetadataPublic: json.RawMessage(tt.public), ExternalID: tt.external, MetadataAdmin: json.RawMessage(tt.admin)}, "id") {
			got = append(got, string(u))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%+v: %q", tt, s)
		}
	}
}

func TestLost(t *testing.T) {
	for _, tt := range []struct {
		state symbolon.LinkState
		open  string
		want  symbolon.FindingKind
	}{{symbolon.Linked, "", OrphanUser}, {symbolon.Also, "", OrphanUser}, {symbolon.Gone, "", ""}, {symbolon.Gone, "row_kept", symbolon.RowKept}, {symbolon.Erased, "row_kept", ""},
		{symbolon.Forgotten, "", ""}, {symbolon.OnHold, "moved", symbolon.Moved}, {symbolon.OnHold, "", ""}} {
		f, ok := missingFinding(pair{entry: linked(func(e *symbolon.Entry) { e.Link.State, e.Link.Reason = tt.state, symbolon.Moved }), open: opened(tt.open)})
		if ok != (tt.want != "") || f.Kind != tt.want || ok && (f.Identity != ann || f.User != "42" || f.Detail == "" || f.Repair == "") {
			t.Errorf("%+v: %+v", tt, f)
		}
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
			out = append(out, symbolon.Entry{Evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: id(s[i])}}})
		}
		return out
	}
	open := func(s string) (out []symbolon.Finding) {
		for i := range len(s) {
			out = append(out, symbolon.Finding{Identity: id(s[i])})
		}
		return out
	}
	for _, tt := range []struct{ ids, entries, open, want string }{
		{"", "", "", ""}, {"abc", "abc", "", "=a=b=c"}, {"ac", "bd", "", "+a-b+c-d"}, {"", "ab", "", "-a-b"}, {"ab", "", "", "+a+b"},
		{"bc", "ab", "", "-a=b+c"}, {"abd", "bcd", "", "+a=b-c=d"}, {"a", "ba", "", "!"}, {"a", "bb", "", "!"},
		{"ac", "ab", "aab", "=a!!-b!+c"}, {"b", "b", "abc", "?a!=b!?c!"}, {"", "", "aab", "?a!!?b!"},
	} {
		pairs, err := merge(ids(tt.ids), entries(tt.entries), open(tt.open))
		got := ""
		for _, p := range pairs {
			switch {
			case p.entry == nil && p.identity == nil:
				got += "?" + string(p.open[0].Identity)
			case p.entry == nil:
				got += "+" + string(p.identity.ID)
			case p.identity == nil:
				got += "-" + string(p.entry.Link.Identity)
			default:
				got += "=" + string(p.identity.ID)
			}
			got += strings.Repeat("!", len(p.open))
		}
		if err != nil {
			got = "!"
		}
		if got != tt.want {
			t.Errorf("%s beside %s: %s, want %s", tt.ids, tt.entries, got, tt.want)
		}
	}
}
