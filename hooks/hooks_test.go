package hooks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

const ann = symbolon.IdentityID("3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50")

func post(h http.Handler, path, key, body string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set(KeyHeader, key)
	}
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func serve(h *Handler) http.Handler {
	mux := http.NewServeMux()
	h.Mount(mux)
	return mux
}

func TestReserveAnswers(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	tests := []struct {
		name string
		body string
		// want is the answer. ID replaces the minted ID.
		want string
	}{
		{"no metadata", `{"metadata_public":null}`, `{"identity":{"metadata_public":{"id":"ID"}}}`},
		{"metadata left out", `{}`, `{"identity":{"metadata_public":{"id":"ID"}}}`},
		{"empty object", `{"metadata_public":{ }}`, `{"identity":{"metadata_public":{"id":"ID"}}}`},
		{"others' keys stay byte for byte", `{"metadata_public":{"a/b":"~","n":9007199254740991,"é":"\u00e9","o":{"x":[1,2]}, "e":[]}}`,
			`{"identity":{"metadata_public":{"a/b":"~","n":9007199254740991,"é":"\u00e9","o":{"x":[1,2]}, "e":[],"id":"ID"}}}`},
		{"a number that Jsonnet rounded", `{"metadata_public":{"n":9007199254740992}}`, `{}`},
		{"a large negative number", `{"metadata_public":{"n":-9007199254740992}}`, `{}`},
		{"a fraction", `{"metadata_public":{"n":{"deep":[1.5]}}}`, `{}`},
		{"an exponent", `{"metadata_public":{"n":1e3}}`, `{}`},
		{"an id that came in", `{"metadata_public":{"id":"42"}}`, `{}`},
		{"a number that came in", `{"metadata_public":{"id":7}}`, `{}`},
		{"metadata is a string", `{"metadata_public":"x"}`, `{}`},
		{"metadata is an array", `{"metadata_public":[{"id":1}]}`, `{}`},
		{"unknown keys beside", `{"metadata_public":{},"identity":{"id":"x"},"flow":1}`, `{"identity":{"metadata_public":{"id":"ID"}}}`},
		{"an empty body", ``, `{}`},
		{"not JSON", `{'a':1}`, `{}`},
		{"truncated", `{"metadata_public":{`, `{}`},
		{"two documents", `{} {}`, `{}`},
		{"a key twice", `{"metadata_public":{"a":1,"a":2}}`, `{}`},
		{"a key in two spellings", `{"metadata_public":{},"Metadata_Public":{"id":1}}`, `{}`},
		{"too deep", `{"metadata_public":` + deep + `}`, `{}`},
		{"at the cap", `{"metadata_public":{"a":"` + strings.Repeat("x", MaxBody-30) + `"}}`, ""},
		{"beyond the cap", `{"metadata_public":{"a":"` + strings.Repeat("x", MaxBody) + `"}}`, `{}`},
		{"an array", `[]`, `{}`},
		{"null", `null`, `{}`},
	}
	h, store := newHandler(&admin{})
	store.down = true // reserve needs no database and no Ory
	mux, key := serve(h), DeriveKeys(testSecrets).Reserve[0]
	minter := mint.NewMinter("default", testSecrets...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := post(mux, "/hooks/reserve", key, tt.body)
			if w.Code != 200 || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
				t.Fatalf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
			}
			id := idOf(t, w.Body.Bytes())
			if id != "" && !minter.Minted(id) {
				t.Errorf("%s is not minted", id)
			}
			want := strings.ReplaceAll(tt.want, `"ID"`, `"`+string(id)+`"`)
			if got := w.Body.String(); tt.want != "" && got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	if len(store.users()) != 0 {
		t.Error("reserve wrote to the store")
	}
}

// idOf returns the ID in an answer of reserve, or "".
func idOf(t *testing.T, body []byte) symbolon.UserID {
	t.Helper()
	var answer struct {
		Identity struct {
			MetadataPublic struct {
				ID symbolon.UserID `json:"id"`
			} `json:"metadata_public"`
		} `json:"identity"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("Ory cannot read %q: %v", body, err)
	}
	return answer.Identity.MetadataPublic.ID
}

func TestReserveWithoutAnIDToReserve(t *testing.T) {
	h, store := newHandler(&admin{})
	key := DeriveKeys(testSecrets).Reserve[0]
	for _, newID := range []symbolon.NewID{symbolon.ByDatabase, symbolon.ByIdentity, symbolon.ByApplication} {
		store.newID = newID
		if got := post(serve(h), "/hooks/reserve", key, `{}`).Body.String(); got != "{}" {
			t.Errorf("new_id %s: %s", newID, got)
		}
	}
	store.newID = symbolon.ByMint
	h.Linker.BackReference.Write = link.WriteNone
	if got := post(serve(h), "/hooks/reserve", key, `{}`).Body.String(); got != "{}" {
		t.Errorf("write none: %s", got)
	}
}

func TestReserveExternalID(t *testing.T) {
	h, _ := newHandler(&admin{})
	h.Linker.BackReference = link.BackReference{Key: "user", ExternalID: true}
	var out struct {
		Identity struct {
			ExternalID string            `json:"external_id"`
			Metadata   map[string]string `json:"metadata_public"`
		} `json:"identity"`
	}
	w := post(serve(h), "/hooks/reserve", DeriveKeys(testSecrets).Reserve[0], `{"metadata_public":{"id":"stays"}}`)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Identity.ExternalID == "" || out.Identity.ExternalID != out.Identity.Metadata["user"] || out.Identity.Metadata["id"] != "stays" {
		t.Errorf("got %s", w.Body)
	}
}

// TestKeys checks that a route accepts its own keys, current and previous, sent once in
// the right header. Other requests get 401 and change nothing.
func TestKeys(t *testing.T) {
	keys := DeriveKeys(testSecrets)
	body := fmt.Sprintf(`{"identity_id":%q}`, ann)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Add(name, value) }
	}
	tests := []struct {
		name string
		key  string
		edit func(*http.Request)
		want int
	}{
		{name: "current", key: keys.Link[0], want: 200},
		{name: "previous", key: keys.Link[1], want: 200},
		{name: "none", want: 401},
		{name: "wrong", key: strings.Repeat("x", 43), want: 401},
		{name: "another route's", key: keys.Reserve[0], want: 401},
		{name: "cut", key: keys.Link[0][:42], want: 401},
		{name: "with a space", key: keys.Link[0] + " ", want: 401},
		{name: "twice", key: keys.Link[0], edit: header(KeyHeader, keys.Link[0]), want: 401},
		{name: "two different", key: keys.Link[0], edit: header(KeyHeader, "x"), want: 401},
		{name: "in another header", edit: header("Authorization", keys.Link[0]), want: 401},
		{name: "a megabyte", key: strings.Repeat("x", 1<<20), want: 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, store := newHandler(&admin{})
			edits := []func(*http.Request){}
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			w := post(serve(h), "/hooks/link", tt.key, body, edits...)
			if w.Code != tt.want || (len(store.users()) == 1) != (tt.want == 200) {
				t.Errorf("status %d with %d users", w.Code, len(store.users()))
			}
			if tt.want == 401 && w.Header().Get("Connection") != "close" {
				t.Error("the body of an unknown caller was read")
			}
			if w.Header().Get("Retry-After") != "" {
				t.Error("the answer has a Retry-After, which Ory obeys without a limit")
			}
		})
	}
}

func TestKeysCheck(t *testing.T) {
	a, b, c := "k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e", "Zq3WxE7rT1yU5iO9pA2sD6fG0hJ4kL8v", "M1nB5vC9xZ3aS7dF2gH6jK0lQ4wE8rTy"
	good := Keys{Reserve: []string{a}, Link: []string{b}, Sync: []string{c}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, k := range map[string]Keys{
		"none":       {},
		"short":      {Reserve: []string{"short"}, Link: []string{b}, Sync: []string{c}},
		"a sample":   {Reserve: []string{"PLEASE-CHANGE-ME-I-AM-VERY-INSECURE"}, Link: []string{b}, Sync: []string{c}},
		"with space": {Reserve: []string{a + " x"}, Link: []string{b}, Sync: []string{c}},
		"four":       {Reserve: []string{a, b, c, a + "2"}, Link: []string{b + "1"}, Sync: []string{c + "1"}},
		"shared":     {Reserve: []string{a}, Link: []string{a}, Sync: []string{c}},
	} {
		err := k.Check()
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), a) || strings.Contains(err.Error(), "PLEASE") {
			t.Errorf("%s: the error has the key: %v", name, err)
		}
	}
}

// TestWithoutKeys checks that a handler without keys and secrets accepts no request.
func TestWithoutKeys(t *testing.T) {
	h, _ := newHandler(&admin{})
	h.Linker.Secrets = nil
	if h.Check() == nil {
		t.Error("Check reports no fault")
	}
	for _, key := range []string{"", "x"} {
		if w := post(serve(h), "/hooks/link", key, `{}`); w.Code != 401 {
			t.Errorf("key %q: %d", key, w.Code)
		}
	}
}

func TestMethods(t *testing.T) {
	h, _ := newHandler(&admin{})
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"} {
		w := httptest.NewRecorder()
		serve(h).ServeHTTP(w, httptest.NewRequest(method, "/hooks/link", nil))
		if w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}
