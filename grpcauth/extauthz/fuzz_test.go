package extauthz

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

var nowhere = &url.URL{Path: "/"}

// FuzzHeader checks that headers that Envoy has joined have the same credential as the
// separate headers, or none.
func FuzzHeader(f *testing.F) {
	const cookie = "ory_kratos_session="
	f.Add("", cookie+"YWJj", "", "Bearer ory_st_x", "x-user-id")
	f.Add("", "a=1,2; "+cookie+"YWJj", "b=c", "", "X_User_Id")
	f.Add("", "a=b", cookie+"YWJj", "Bearer ory_st_x", "x.user.id")
	f.Add("", cookie+"YWJj; z=1", cookie+"YWJj,w", "Bearer ory_st_x", "")
	f.Add("", "a=1,"+cookie+"ZXZp", cookie+"YWJj", "", ":path")
	f.Add("ory_st_x", cookie+"YWJj,"+cookie+"ZXZp", "", "Basic x", "Cookie")
	v := &session.Verifier{Log: slog.New(slog.DiscardHandler),
		Linker: &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: &sqlstore.Store{Dialect: sqlstore.SQLite}}}
	f.Cleanup(v.Close)
	s := &Server{Auth: &forwardauth.ForwardAuth{Verifier: v}}
	f.Fuzz(func(t *testing.T, token, cookie1, cookie2, authorization, name string) {
		if all := token + cookie1 + cookie2 + authorization; strings.ContainsAny(token+authorization, ",") || !utf8.ValidString(all) {
			return // not a credential of Ory: Envoy merges equal names and replaces invalid bytes by "!"
		}
		h := http.Header{}
		for name, values := range map[string][]string{"X-Session-Token": {token}, "Cookie": {cookie1, cookie2}, "Authorization": {authorization}} {
			for _, v := range values {
				if v != "" {
					h.Add(name, v)
				}
			}
		}
		read := func(raw bool) ory.Credential {
			e := &envoy{raw: raw}
			got, _ := s.read(e.question(&http.Request{Method: "GET", Header: h, URL: nowhere}).GetAttributes().GetRequest().GetHttp())
			c, _ := v.Credential(got)
			return c
		}
		joined, apart := read(false), read(true)
		if joined != apart && joined != (ory.Credential{}) && apart != (ory.Credential{}) {
			t.Errorf("%q: %v joined, %v apart", h, joined, apart)
		}
		if direct, _ := v.Credential(h); direct != apart {
			t.Errorf("%q: %v from Envoy, %v over HTTP", h, apart, direct)
		}
		names := s.Auth.HeaderNames()
		for _, ours := range names {
			if strings.EqualFold(name, ours) && confusable(name, names) {
				t.Errorf("%q would be removed after it was set", name)
			}
		}
	})
}
