package session

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
)

const aCookie = "MTc5NTQyNjU3N3xRYmZEVDFIWDZPMDJQWjkzNWNZczA0SXdWMjZSVWtYYm96b3FYUG5qZ0E1ejBaa2dLSW9KcUR4VXpIeVhDSWI5amhZc0pRZnNQYTVTNzVwVm5USTl0QWNnbEZKUnp0dm5VY2c2aEZnbFVkYV9FVUJZTGhYNjBGTHhhRjMxQU9Mb1RTS0lxLWdmM0Y0aVJJUjd6N1BUTGx2Zlhsenc1ZXpmUmFKaEt4c2s0d1Z4aGhZOE1BZFItSGhJQkJZemVkQjNRU2l3Zno1VllrWndLSTRBQ0U0MHdsZGdmcERjM3NpRk1YVVFmN1pnamdlbnFWU3NhSnFzM3NrOFlkUGdCOXhSQWJmOUJSVDJHWGt0Z1dMX2xnNld8kjoVPwgkKiJmfH27tlk4NuqgR2-epkoHciQPoLGBFEU="

const bearer = "ory_st_KeezIB3VwmclvnRZ2DDwBR72bDMmthRa"

func TestCredential(t *testing.T) {
	long := strings.Repeat("a", 8<<10)
	tests := []struct {
		name   string
		header []string
		want   ory.Credential // zero: unauthenticated
	}{
		{"none", nil, ory.Credential{}},
		{"token", []string{"X-Session-Token", bearer}, ory.Credential{Kind: ory.SessionToken, Value: bearer}},
		{"token without prefix", []string{"X-Session-Token", "MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj"}, ory.Credential{Kind: ory.SessionToken, Value: "MP2YWEMeM8MxjkGKpH4dqOQ4Q4DlSPaj"}},
		{"token in other case of header", []string{"x-session-TOKEN", bearer}, ory.Credential{Kind: ory.SessionToken, Value: bearer}},
		{"cookie", []string{"Cookie", "ory_kratos_session=" + aCookie}, ory.Credential{Kind: ory.SessionCookie, Value: aCookie}},
		{"cookie among others", []string{"Cookie", "a=b; csrf_token_x=y;ory_kratos_session=" + aCookie + "; z"}, ory.Credential{Kind: ory.SessionCookie, Value: aCookie}},
		{"cookie in a second header", []string{"Cookie", "a=b", "Cookie", "ory_kratos_session=" + aCookie}, ory.Credential{Kind: ory.SessionCookie, Value: aCookie}},
		{"cookie twice alike", []string{"Cookie", "ory_kratos_session=" + aCookie + "; ory_kratos_session=" + aCookie}, ory.Credential{Kind: ory.SessionCookie, Value: aCookie}},
		{"200 cookies", []string{"Cookie", strings.Repeat("c=d; ", 200) + "ory_kratos_session=" + aCookie}, ory.Credential{Kind: ory.SessionCookie, Value: aCookie}},
		{"bearer", []string{"Authorization", "Bearer " + bearer}, ory.Credential{Kind: ory.BearerToken, Value: bearer}},
		{"bearer small", []string{"Authorization", "bearer " + bearer}, ory.Credential{Kind: ory.BearerToken, Value: bearer}},

		{"token empty", []string{"X-Session-Token", ""}, ory.Credential{}},
		{"token twice different", []string{"X-Session-Token", "a", "X-Session-Token", "b"}, ory.Credential{}},
		{"token twice alike", []string{"X-Session-Token", bearer, "X-Session-Token", bearer}, ory.Credential{Kind: ory.SessionToken, Value: bearer}},
		{"token with space", []string{"X-Session-Token", "a b"}, ory.Credential{}},
		{"token with comma list", []string{"X-Session-Token", bearer + ", " + bearer}, ory.Credential{}},
		{"token not UTF-8", []string{"X-Session-Token", "a\xff"}, ory.Credential{}},
		{"token with control", []string{"X-Session-Token", "a\x00b"}, ory.Credential{}},
		{"token with newline", []string{"X-Session-Token", "a\r\nX-User: b"}, ory.Credential{}},
		{"token too long", []string{"X-Session-Token", strings.Repeat("a", 4<<10+1)}, ory.Credential{}},
		{"token very long", []string{"X-Session-Token", strings.Repeat("a", 64<<10)}, ory.Credential{}},
		{"cookie empty", []string{"Cookie", "ory_kratos_session="}, ory.Credential{}},
		{"cookie quoted", []string{"Cookie", `ory_kratos_session="` + aCookie + `"`}, ory.Credential{}},
		{"cookie twice different", []string{"Cookie", "ory_kratos_session=" + aCookie + "; ory_kratos_session=YWJj"}, ory.Credential{}},
		{"cookie twice, one empty", []string{"Cookie", "ory_kratos_session=; ory_kratos_session=" + aCookie}, ory.Credential{}},
		{"cookie twice in two headers", []string{"Cookie", "ory_kratos_session=" + aCookie, "Cookie", "ory_kratos_session=YWJj"}, ory.Credential{}},
		{"cookie name in capitals", []string{"Cookie", "Ory_Kratos_Session=" + aCookie}, ory.Credential{}},
		{"cookie name with more", []string{"Cookie", "ory_kratos_session2=" + aCookie + "; xory_kratos_session=" + aCookie}, ory.Credential{}},
		{"cookie name with space", []string{"Cookie", "ory_kratos_session =" + aCookie}, ory.Credential{}},
		{"cookie without value", []string{"Cookie", "ory_kratos_session"}, ory.Credential{}},
		{"cookie percent-encoded", []string{"Cookie", "ory_kratos_session=" + strings.Replace(aCookie, "=", "%3D", 1)}, ory.Credential{}},
		{"cookie with other letters", []string{"Cookie", "ory_kratos_session=YWJj+/=="}, ory.Credential{}},
		{"cookie = inside", []string{"Cookie", "ory_kratos_session=YW=j"}, ory.Credential{}},
		{"cookie only padding", []string{"Cookie", "ory_kratos_session===="}, ory.Credential{}},
		{"cookie of odd length", []string{"Cookie", "ory_kratos_session=abcde"}, ory.Credential{}},
		{"cookie too long", []string{"Cookie", "ory_kratos_session=" + long + "aaaa"}, ory.Credential{}},
		{"cookie as long as can be", []string{"Cookie", "ory_kratos_session=" + long}, ory.Credential{Kind: ory.SessionCookie, Value: long}},
		{"bearer of the application", []string{"Authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.x"}, ory.Credential{}},
		{"bearer other prefix", []string{"Authorization", "Bearer ory_at_abc"}, ory.Credential{}},
		{"bearer prefix in capitals", []string{"Authorization", "Bearer ORY_ST_abc"}, ory.Credential{}},
		{"bearer prefix only", []string{"Authorization", "Bearer ory_st_"}, ory.Credential{}},
		{"bearer two spaces", []string{"Authorization", "Bearer  " + bearer}, ory.Credential{}},
		{"bearer and more", []string{"Authorization", "Bearer " + bearer + " x"}, ory.Credential{}},
		{"bearer twice different", []string{"Authorization", "Bearer " + bearer, "Authorization", "Bearer ory_st_x"}, ory.Credential{}},
		{"basic", []string{"Authorization", "Basic b3J5X3N0Xzp4"}, ory.Credential{}},
		{"token in the wrong scheme", []string{"Authorization", bearer}, ory.Credential{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			var sent []string
			w.answer = func(r *http.Request) *http.Response {
				if r.URL.Path == "/sessions/whoami" {
					sent = append(sent, r.Header.Get("X-Session-Token")+"|"+r.Header.Get("Cookie")+"|"+r.Header.Get("Authorization"))
				}
				return nil
			}
			status, said := w.ask(request(test.header...))
			expect(t, status, said, 401, "unauthenticated")
			var want string
			switch test.want.Kind {
			case ory.SessionToken:
				want = test.want.Value + "||"
			case ory.SessionCookie:
				want = "|ory_kratos_session=" + test.want.Value + "|"
			case ory.BearerToken:
				want = "||Bearer " + test.want.Value
			}
			if want == "" && len(w.asked) != 0 {
				t.Errorf("Ory was asked: %v %v", w.asked, sent)
			}
			if want != "" && (len(sent) != 2 || sent[0] != want || sent[1] != want) {
				t.Errorf("sent %q, want %q", sent, want)
			}
		})
	}
}

// TestWinner tests all subsets of three credentials of three people. The same credential
// is used here, at Ory and in the cache, in this order.
func TestWinner(t *testing.T) {
	w := newWorld(t)
	token, byHeader := w.person(1)
	_, byCookie := w.person(2)
	_, byBearer := w.person(3)
	w.shows(byCookie, aCookie)
	w.shows(byBearer, bearer)
	for round := range 2 { // not cached, then cached
		for set := 1; set < 8; set++ {
			var header []string
			var want *fakeSession
			if set&4 != 0 {
				header, want = append(header, "Authorization", "Bearer "+bearer), byBearer
			}
			if set&2 != 0 {
				header, want = append(header, "Cookie", "ory_kratos_session="+aCookie), byCookie
			}
			if set&1 != 0 {
				header, want = append(header, "X-Session-Token", token), byHeader
			}
			status, said := w.ask(request(header...))
			expect(t, status, said, 200, string(userOf(symbolon.IdentityID(want.identity))))
			header = append(header, "X-User-Id", "evil", "X-Forwarded-User", "evil", "X-Identity-Id", "evil")
			status, said = w.ask(request(header...))
			expect(t, status, said, 200, string(userOf(symbolon.IdentityID(want.identity))))
		}
		if w.times("whoami") != 3 {
			t.Errorf("round %d: %v", round, w.asked)
		}
	}
}

// TestKeys checks that no two credentials have the same cache key, however their parts
// are cut.
func TestKeys(t *testing.T) {
	seen := map[key]string{}
	for _, url := range []string{"http://a:1", "http://a:12"} {
		v := &Verifier{Linker: &link.Linker{Ory: &ory.Client{PublicURL: url}, Store: &fakeStore{}}, MaxSessions: 10}
		if err := v.Check(); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []ory.Kind{ory.SessionToken, ory.SessionCookie, ory.BearerToken} {
			for _, value := range []string{"a", "b", "ab", "aa", "a\x00", strings.Repeat("a", 600), strings.Repeat("a", 601), strings.Repeat("a", 8000), strings.Repeat("a", 8001)} {
				k := v.key(ory.Credential{Kind: kind, Value: value})
				if other, twice := seen[k]; twice {
					t.Errorf("%s %s %q is %s", url, kind, value, other)
				}
				seen[k] = url + string(kind) + value
			}
		}
		v.Close()
	}
	if string(appendPart(appendPart(nil, "ab"), "c")) == string(appendPart(appendPart(nil, "a"), "bc")) {
		t.Error("two different cuts have the same key")
	}
}

func FuzzCredential(f *testing.F) {
	f.Add(bearer, "ory_kratos_session="+aCookie, "Bearer "+bearer)
	f.Add("", "ory_kratos_session=YWJj; ory_kratos_session=YWJj", "")
	f.Add("", `a=b;ory_kratos_session="YWJj"`, "")
	f.Add("", "; =; ory_kratos_session=;", "bearer ory_st_x")
	f.Fuzz(func(t *testing.T, token, cookie, authorization string) {
		h := http.Header{}
		for name, value := range map[string]string{"X-Session-Token": token, "Cookie": cookie, "Authorization": authorization} {
			if value != "" {
				h.Set(name, value)
			}
		}
		c, err := credentialOf(h, ory.DefaultCookie)
		if err != nil {
			if !errors.Is(err, ErrUnauthenticated) || c != (ory.Credential{}) {
				t.Errorf("%v %#v", err, c)
			}
			return
		}
		again, _ := credentialOf(h, ory.DefaultCookie)
		switch {
		case again != c:
			t.Error("the result differs from call to call")
		case token != "" && (c.Kind != ory.SessionToken || c.Value != token):
			t.Errorf("a token was sent, but %s is used", c.Kind)
		case c.Kind == ory.SessionCookie && !strings.Contains(cookie, "ory_kratos_session="+c.Value):
			t.Error("found a cookie that was not sent")
		case c.Kind == ory.BearerToken && !strings.HasSuffix(authorization, c.Value):
			t.Error("found a Bearer token that was not sent")
		}
		if !wellFormed(c) {
			return
		}
		for _, b := range []byte(c.Value) {
			if b <= ' ' || b >= 0x7f {
				t.Errorf("%q would be sent to Ory", c.Value)
			}
		}
		if len(c.Value) == 0 || len(c.Value) > maxCookie || c.Kind == ory.SessionCookie && strings.ContainsAny(c.Value, `;,"%\ `) {
			t.Errorf("%q would be sent to Ory", c.Value)
		}
		// Kratos reads cookies with the standard library and must find the same value.
		if c.Kind == ory.SessionCookie {
			r := &http.Request{Header: http.Header{"Cookie": {"ory_kratos_session=" + c.Value}}}
			if other, err := r.Cookie("ory_kratos_session"); err != nil || other.Value != c.Value {
				t.Errorf("Kratos reads another value than %q", c.Value)
			}
		}
	})
}
