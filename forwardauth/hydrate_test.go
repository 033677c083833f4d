package forwardauth

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

const hydratePassword = "cAnArY-Kq8Zr3VnX5cTm1WbY7fJp2LsGd9HtE4uA"

// hydrate sends a request as Oathkeeper does, with the client's headers except
// Authorization.
func (w *world) hydrate(h *Hydrate, body string, header ...string) (int, string) {
	r := httptest.NewRequest("POST", "/hydrate", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("symbolon", hydratePassword)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func TestHydrate(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	_, other := w.person(2)
	held, hs := w.person(3)
	id := symbolon.IdentityID(hs.IdentityID)
	w.store.deny = map[symbolon.IdentityID]error{id: &symbolon.DenyError{Identity: id, Err: symbolon.ErrOnHold}}
	now := time.Now()
	h := &Hydrate{ForwardAuth: &ForwardAuth{Verifier: w.v, Signer: newSigner(&now)}, User: "symbolon", Passwords: []string{"former", hydratePassword}}

	// Other members are unchanged, also long numbers. Our members replace earlier values.
	body := fmt.Sprintf(`{"subject":%q,"extra":{"n":12345678901234567890,"symbolon":{"user_id":"evil"},"identity":{"id":%q}},`+
		`"header":{"X-Other":["a"],"x-user-id":["evil"],"X-AUTH-EMAIL":["evil"]},"match_context":{"regexp_capture_groups":["x"],"url":null,"method":"GET"}}`, s.IdentityID, s.IdentityID)
	status, text := w.hydrate(h, body, "X-Session-Token", token, "Content-Encoding", "gzip", "X-User-Id", "evil")
	var got map[string]json.RawMessage
	var extra, header map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 || json.Unmarshal(got["extra"], &extra) != nil || json.Unmarshal(got["header"], &header) != nil {
		t.Fatalf("%d %s %v", status, text, err)
	}
	user := "user-of-" + s.IdentityID
	want := map[string]any{"user_id": user, "identity_id": s.IdentityID, "session_id": s.ID, "aal": "aal1", "email": "p00000001@x.example"}
	if !reflect.DeepEqual(extra["symbolon"], want) || !strings.Contains(string(got["extra"]), "12345678901234567890") || strings.Contains(text, "evil") ||
		string(got["match_context"]) != `{"regexp_capture_groups":["x"],"url":null,"method":"GET"}` || string(got["subject"]) != `"`+s.IdentityID+`"` {
		t.Errorf("%s", text)
	}
	if len(header) != 7 || !reflect.DeepEqual(header["X-User-Id"], []any{user}) || !reflect.DeepEqual(header["X-Other"], []any{"a"}) {
		t.Errorf("%v", header)
	}
	assertion := header["X-Auth-Assertion"].([]any)[0].(string)
	if verify(t, assertion, h.ForwardAuth.Signer, now)["sub"] != user {
		t.Errorf("%s", assertion)
	}

	plain := func(subject string) string { return fmt.Sprintf(`{"subject":%q,"extra":null,"header":null}`, subject) }
	for name, test := range map[string]struct {
		body    string
		headers []string
		status  int
		says    string
	}{
		"nulls":                     {plain(s.IdentityID), []string{"X-Session-Token", token}, 200, user},
		"by cookie":                 {plain(s.IdentityID), []string{"Cookie", "ory_kratos_session=" + token}, 403, "cookie or X-Session-Token"}, // not well-formed
		"a stranger":                {plain("anonymous"), nil, 200, `"X-User-Id":[""]`},
		"a stranger with a session": {plain("anonymous"), []string{"X-Session-Token", token}, 200, `"X-User-Id":[""]`},
		"no subject, no session":    {plain(""), nil, 200, `"symbolon":null`},
		"another person's session":  {plain(other.IdentityID), []string{"X-Session-Token", token}, 403, "not the subject's"},
		"no session":                {plain(s.IdentityID), nil, 403, "has to pass on"},
		"an invalid session":        {plain(s.IdentityID), []string{"X-Session-Token", "ory_st_junk"}, 403, "has to pass on"},
		"on hold":                   {plain(hs.IdentityID), []string{"X-Session-Token", held}, 403, "link_on_hold"},
		"wrong password":            {plain(s.IdentityID), []string{"Authorization", "Basic c3ltYm9sb246eA==", "X-Session-Token", token}, 401, "hooks.basic.hydrate"},
		"no password":               {plain(s.IdentityID), []string{"Authorization", "", "X-Session-Token", token}, 401, "hooks.basic.hydrate"},
		"the session as a password": {plain(s.IdentityID), []string{"Authorization", "Bearer " + token}, 401, "hooks.basic.hydrate"},
		"no JSON":                   {"subject", nil, 400, "invalid_json"},
		"empty":                     {"", nil, 400, "invalid_json"},
		"a list":                    {"[]", nil, 400, "not an object"},
		"two subjects":              {`{"subject":"a","Subject":"b"}`, nil, 400, "twice"},
		"two documents":             {`{"subject":"a"}{}`, nil, 400, "follows"},
		"no subject":                {`{}`, nil, 400, "subject must be text"},
		"subject null":              {`{"subject":null}`, nil, 400, "subject must be text"},
		"subject a number":          {`{"subject":1}`, nil, 400, "subject must be text"},
		"extra a list":              {`{"subject":"a","extra":[]}`, nil, 400, "extra must be an object"},
		"header text":               {`{"subject":"a","header":"x"}`, nil, 400, "header must be an object"},
		"deep":                      {`{"subject":"a","extra":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`, nil, 400, "levels"},
		"large":                     {`{"subject":"` + strings.Repeat("a", maxHydrate) + `"}`, nil, 413, "too_large"},
		"a form":                    {plain("a"), []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media"},
	} {
		status, text := w.hydrate(h, test.body, test.headers...)
		if status != test.status || !strings.Contains(text, test.says) || strings.Contains(text, hydratePassword) {
			t.Errorf("%s: %d %s, want %d %q", name, status, text, test.status, test.says)
		}
	}
	w.Break(fakeory.DatabaseDown{})
	if status, text := w.hydrate(h, plain(s.IdentityID), "X-Session-Token", "ory_st_other"); status != 503 {
		t.Errorf("an outage: %d %s", status, text)
	}
	if status, _ := w.hydrate(&Hydrate{ForwardAuth: h.ForwardAuth, User: "symbolon"}, plain("a"), "Authorization", "Basic c3ltYm9sb246"); status != 401 {
		t.Errorf("no password is configured, and the request has none: %d", status)
	}
	rec := httptest.NewRecorder()
	if h.ServeHTTP(rec, httptest.NewRequest("GET", "/hydrate", nil)); rec.Code != 405 {
		t.Errorf("GET: %d", rec.Code)
	}
	if strings.Contains(w.log.String(), hydratePassword) {
		t.Error("the log has the password")
	}
}

func FuzzHydrate(f *testing.F) {
	for _, s := range []string{`{"subject":"a"}`, `{"subject":"a","extra":{},"header":{"A":["b"]}}`, `{"subject":null}`, `[]`, `{"subject":"a","extra":1}`, "{", `{"subject":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, subject, err := readHydration(body)
		if err != nil {
			return
		}
		if err := doc.set(nil, map[string][]string{"X-User-Id": {""}}); err != nil {
			return
		}
		out, err := json.Marshal(doc)
		var back struct {
			Subject string
			Header  map[string]any
		}
		if err != nil || json.Unmarshal(out, &back) != nil || back.Subject != subject || back.Header["X-User-Id"] == nil {
			t.Errorf("%q becomes %q: %v", body, out, err)
		}
	})
}
