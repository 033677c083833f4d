package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/projection"
)

// TestLinkBadBodies checks that a bad body makes no user, and that the answer has the
// error form and repeats nothing of the body.
func TestLinkBadBodies(t *testing.T) {
	id := string(ann)
	ok := fmt.Sprintf(`{"identity_id":%q}`, id)
	kind := func(v ...string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Content-Type")
			for _, one := range v {
				r.Header.Add("Content-Type", one)
			}
		}
	}
	tests := []struct {
		name   string
		body   string
		edit   func(*http.Request)
		status int
		code   string
	}{
		{"good", ok, nil, 200, ""},
		{"upper case", strings.ToUpper(ok[:16]) + ok[16:], nil, 400, "invalid_request"},
		{"upper-case ID", fmt.Sprintf(`{"identity_id":%q}`, strings.ToUpper(id)), nil, 200, ""},
		{"charset utf-8", ok, kind("application/json; charset=UTF-8"), 200, ""},
		{"no type", ok, kind(), 415, "unsupported_media"},
		{"two types", ok, kind("application/json", "text/plain"), 415, "unsupported_media"},
		{"text", ok, kind("text/plain"), 415, "unsupported_media"},
		{"form", ok, kind("application/x-www-form-urlencoded"), 415, "unsupported_media"},
		{"multipart", ok, kind("multipart/form-data; boundary=x"), 415, "unsupported_media"},
		{"utf-16", ok, kind("application/json; charset=utf-16"), 415, "unsupported_media"},
		{"gzip", ok, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415, "unsupported_media"},
		{"empty", "", nil, 400, "invalid_json"},
		{"over the cap", `{"identity_id":"` + id + `","x":"` + strings.Repeat("x", MaxBody) + `"}`, nil, 413, "too_large"},
		{"over the cap, chunked", `{"x":"` + strings.Repeat("x", MaxBody) + `"}`, func(r *http.Request) { r.ContentLength = -1 }, 413, "too_large"},
		{"not JSON", `nope`, nil, 400, "invalid_json"},
		{"truncated", ok[:20], nil, 400, "invalid_json"},
		{"trailing", ok + "x", nil, 400, "invalid_json"},
		{"two documents", ok + ok, nil, 400, "invalid_json"},
		{"a BOM", "\xef\xbb\xbf" + ok, nil, 400, "invalid_json"},
		{"NaN", `{"identity_id":NaN}`, nil, 400, "invalid_json"},
		{"single quotes", `{'identity_id':'` + id + `'}`, nil, 400, "invalid_json"},
		{"not UTF-8", `{"identity_id":"` + id + `","x":"` + "\xff" + `"}`, nil, 400, "invalid_json"},
		{"a key twice", `{"identity_id":"` + id + `","identity_id":"` + id + `"}`, nil, 400, "invalid_json"},
		{"a key in two spellings", `{"identity_id":"` + id + `","Identity_ID":"x"}`, nil, 400, "invalid_json"},
		{"__proto__", `{"identity_id":"` + id + `","__proto__":{"x":1}}`, nil, 200, ""},
		{"2,000 keys", `{` + manyKeys(2_000) + `"identity_id":"` + id + `"}`, nil, 400, "invalid_json"},
		{"10,000 deep", `{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, nil, 400, "invalid_json"},
		{"an array", `[]`, nil, 400, "invalid_json"},
		{"null", `null`, nil, 400, "invalid_json"},
		{"no ID", `{}`, nil, 400, "invalid_request"},
		{"ID null", `{"identity_id":null}`, nil, 400, "invalid_request"},
		{"ID number", `{"identity_id":42}`, nil, 400, "invalid_request"},
		{"ID array", `{"identity_id":["` + id + `"]}`, nil, 400, "invalid_request"},
		{"ID nil", `{"identity_id":"00000000-0000-0000-0000-000000000000"}`, nil, 400, "invalid_request"},
		{"ID short", `{"identity_id":"` + id[:35] + `"}`, nil, 400, "invalid_request"},
		{"ID urn", `{"identity_id":"urn:uuid:` + id + `"}`, nil, 400, "invalid_request"},
		{"ID with NUL", `{"identity_id":"` + id[:35] + `\u0000"}`, nil, 400, "invalid_request"},
		{"created_at is nonsense", `{"identity_id":"` + id + `","created_at":"yesterday"}`, nil, 400, "invalid_request"},
		{"columns is an array", `{"identity_id":"` + id + `","columns":[1]}`, nil, 400, "invalid_request"},
		{"external_id is a number", `{"identity_id":"` + id + `","external_id":7}`, nil, 400, "invalid_request"},
		{"null members", `{"identity_id":"` + id + `","id":null,"external_id":null,"created_at":null,"columns":null}`, nil, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, store := newHandler(&admin{})
			edit := tt.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			w := post(serve(h), "/hooks/link", DeriveKeys(testSecrets).Link[0], tt.body, edit)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if (len(store.users()) == 1) != (tt.status == 200) {
				t.Errorf("%d users were made", len(store.users()))
			}
			if tt.status == 200 {
				return
			}
			var e struct {
				Error struct{ Code, Message string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Error.Code != tt.code || e.Error.Message == "" {
				t.Errorf("answer %s", w.Body)
			}
			if strings.Contains(w.Body.String(), id) {
				t.Errorf("the answer repeats the body: %s", w.Body)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":1,`, i)
	}
	return b.String()
}

// TestLinkOutcomes checks for 200 if nothing is left to do and 503 for "don't know". No
// user is made without a reading of Ory or the hook's key.
func TestLinkOutcomes(t *testing.T) {
	known := map[symbolon.IdentityID]symbolon.Identity{ann: {ID: ann, State: symbolon.Active}}
	tests := []struct {
		name    string
		ory     *admin
		down    bool
		status  int
		outcome string
		users   int
	}{
		{"no admin URL: the body is believed", &admin{}, false, 200, Done, 1},
		{"read again at Ory", &admin{identities: known}, false, 200, Done, 1},
		{"Ory no longer has it", &admin{identities: map[symbolon.IdentityID]symbolon.Identity{}}, false, 200, Gone, 0},
		{"Ory does not answer", &admin{err: symbolon.ErrUnavailable}, false, 503, Undetermined, 0},
		{"Ory is odd", &admin{err: errors.New("x")}, false, 503, Undetermined, 0},
		{"database down", &admin{identities: known}, true, 503, Undetermined, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, store := newHandler(tt.ory)
			store.down = tt.down
			var outcomes []string
			h.Observe = func(route, outcome string) { outcomes = append(outcomes, route+" "+outcome) }
			for range 2 {
				w := post(serve(h), "/hooks/link", DeriveKeys(testSecrets).Link[0], fmt.Sprintf(`{"identity_id":%q}`, ann))
				if w.Code != tt.status || w.Header().Get("Retry-After") != "" {
					t.Errorf("status %d", w.Code)
				}
			}
			if len(store.users()) != tt.users || outcomes[0] != "link "+tt.outcome {
				t.Errorf("%d users, outcomes %v", len(store.users()), outcomes)
			}
		})
	}
}

// TestLinkWritesTheFormOfADeniedUser checks that the values of the sign-up form go on to the
// store if the application denies the user. Only the body of this hook has them.
func TestLinkWritesTheFormOfADeniedUser(t *testing.T) {
	for _, denied := range []string{"", "user_pending"} {
		h, store := newHandler(&admin{identities: map[symbolon.IdentityID]symbolon.Identity{ann: {ID: ann, State: symbolon.Active}}})
		store.denied = denied
		store.links[ann] = symbolon.Link{Identity: ann, User: "u1", State: symbolon.Linked}
		var outcome string
		h.Observe = func(_, o string) { outcome = o }
		body := fmt.Sprintf(`{"identity_id":%q,"columns":{"transient_payload.ref":"friend-7"}}`, ann)
		if w := post(serve(h), "/hooks/link", DeriveKeys(testSecrets).Link[0], body); w.Code != 200 || (outcome == Denied) != (denied != "") {
			t.Errorf("denied %q: status %d, outcome %s", denied, w.Code, outcome)
		}
		if last := store.readings[len(store.readings)-1]; string(last.Identity.Transient) != `{"ref":"friend-7"}` || last.Ticket != 0 {
			t.Errorf("denied %q: the store got the form %q with the ticket %d", denied, last.Identity.Transient, last.Ticket)
		}
	}
}

func TestSyncOutcomes(t *testing.T) {
	key, body := DeriveKeys(testSecrets).Sync[0], fmt.Sprintf(`{"identity_id":%q}`, ann)
	h, store := newHandler(&admin{})
	if w := post(serve(h), "/hooks/sync", key, body); w.Code != 200 || len(store.users()) != 0 {
		t.Errorf("without an admin URL: %d, %d users", w.Code, len(store.users()))
	}
	if w := post(serve(h), "/hooks/sync", key, `{"identity_id":"x"}`); w.Code != 400 {
		t.Errorf("malformed: %d", w.Code)
	}
	h, store = newHandler(&admin{identities: map[symbolon.IdentityID]symbolon.Identity{ann: {ID: ann, State: symbolon.Active}}})
	if w := post(serve(h), "/hooks/sync", key, body); w.Code != 200 || len(store.users()) != 1 || store.readings[0].Ticket == 0 {
		t.Errorf("with an admin URL: %d, %+v", w.Code, store.readings)
	}
	h, store = newHandler(&admin{err: symbolon.ErrUnavailable})
	if w := post(serve(h), "/hooks/sync", key, body); w.Code != 503 || len(store.users()) != 0 {
		t.Errorf("Ory down: %d", w.Code)
	}
}

func FuzzReserve(f *testing.F) {
	for _, s := range []string{`{"metadata_public":{"a":1}}`, `{"metadata_public":null}`, `{"metadata_public":{"id":1}}`, `{"metadata_public":{"n":1e400}}`, `[]`, ``, `{"metadata_public":{"a":{"b":["é",null]}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		identity, _, ok := parseReserve(body)
		metadata := identity.MetadataPublic
		if !ok || !mayExtend(metadata, "id") {
			return
		}
		out := reserved(metadata, link.BackReference{Key: "id"}, link.Reservation{User: "ID"})
		var got struct {
			Identity struct {
				Metadata map[string]json.RawMessage `json:"metadata_public"`
			} `json:"identity"`
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q -> %q: %v", body, out, err)
		}
		var in map[string]json.RawMessage
		if len(metadata) > 0 {
			if err := json.Unmarshal(metadata, &in); err != nil {
				t.Fatal(err)
			}
		}
		for k, v := range in { // I4: a superset of the input
			if string(got.Identity.Metadata[k]) != string(v) {
				t.Errorf("%q: key %q became %s", body, k, got.Identity.Metadata[k])
			}
		}
		if len(got.Identity.Metadata) != len(in)+1 || string(got.Identity.Metadata["id"]) != `"ID"` {
			t.Errorf("%q -> %q", body, out)
		}
	})
}

func FuzzLink(f *testing.F) {
	f.Add([]byte(`{"identity_id":"3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50","id":7,"external_id":"x","created_at":"2026-11-23T09:36:08Z","columns":{"traits.email":"a@b","traits.a.b":1,"active":false,"verified_email":"x"}}`))
	f.Add([]byte(`{"identity_id":"3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50","columns":{"traits.a":1,"traits.a.b":2,"traits.":3,"metadata_public.id":4}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		identity, err := parseLink(body, "id")
		if err != nil {
			return
		}
		if id, err := symbolon.ParseIdentityID(string(identity.ID)); err != nil || id != identity.ID {
			t.Errorf("%q: identity %q", body, identity.ID)
		}
		for _, raw := range []json.RawMessage{identity.Traits, identity.MetadataPublic} {
			if len(raw) > 0 && !json.Valid(raw) {
				t.Errorf("%q: %q", body, raw)
			}
		}
	})
}

// TestLinkBodyCarriesTheColumns checks on captured contexts that the body has what every kind
// of path needs, so that a projection gives the same value from the body as from the identity.
func TestLinkBodyCarriesTheColumns(t *testing.T) {
	for _, file := range []string{"testdata/v1.3.1-reg-post-hook.json", "testdata/v26.2.0-reg-post-hook.json"} {
		captured, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var ctx map[string]any
		if err := json.Unmarshal(captured, &ctx); err != nil {
			t.Fatal(err)
		}
		flow, member := ctx["flow"].(map[string]any), ctx["identity"].(map[string]any)
		flow["transient_payload"] = map[string]any{"ref": "friend-7", "deep": map[string]any{"list": []any{"a", "b"}}, "secret": "never sent"}
		member["organization_id"] = "0a000000-0000-4000-8000-000000000001"
		member["traits"] = map[string]any{"tags": []any{"a", map[string]any{"b": true}}, "email": "ada@example.org"}
		member["verifiable_addresses"] = []any{map[string]any{"value": "ada@example.org", "via": "email", "verified": true},
			map[string]any{"value": "+49151", "via": "sms", "verified": true}, map[string]any{"value": "ada@work.example", "via": "email", "verified": true},
			map[string]any{"value": "no@work.example", "via": "email", "verified": false}}
		columns := map[string]string{"a": "[traits.none, traits.tags.0]", "b": "traits.tags", "c": "traits.tags.1.b", "d": "schema_id", "e": "organization_id", "f": "verified_phone",
			"g": "verified_emails", "h": "transient_payload.ref", "i": "transient_payload.deep.list.1", "j": "created_at", "k": "verified_email"}
		full, err := json.Marshal(ctx)
		if err != nil {
			t.Fatal(err)
		}
		body := evaluate(t, linkBody("id", projection.Paths(columns), false, false), full)
		if strings.Contains(string(body), "never sent") {
			t.Errorf("the body has more than the columns need: %s", body)
		}
		identity, err := parseLink(body, "id")
		if err != nil {
			t.Fatal(err)
		}
		all, _ := projection.ParseAll(columns)
		var got []string
		for _, p := range all {
			v, err := json.Marshal(p.Value(identity).V)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(v))
		}
		created, _ := json.Marshal(identity.CreatedAt)
		want := `"a" ["a",{"b":true}] true "default" "0a000000-0000-4000-8000-000000000001" "+49151" ["ada@example.org","ada@work.example"] "friend-7" "b" ` + string(created) + ` "ada@example.org"`
		if !strings.EqualFold(strings.Join(strings.Fields(strings.Join(got, " ")), " "), want) {
			t.Errorf("%s: got  %s\nwant %s", file, strings.Join(got, " "), want)
		}
	}
}
