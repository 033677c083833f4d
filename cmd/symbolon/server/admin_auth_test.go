package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

func TestOperatorWithKey(t *testing.T) {
	h := operatorOnly(cmdtest.Key, http.HandlerFunc(healthz))
	for _, test := range []struct {
		name    string
		headers []string // Authorization
		status  int
	}{
		{"none", nil, 401},
		{"the key", []string{"Bearer " + cmdtest.Key}, 200},
		{"empty", []string{""}, 401},
		{"no scheme", []string{cmdtest.Key}, 401},
		{"only the scheme", []string{"Bearer "}, 401},
		{"scheme in small letters", []string{"bearer " + cmdtest.Key}, 401},
		{"Basic", []string{"Basic " + cmdtest.Key}, 401},
		{"one letter more", []string{"Bearer " + cmdtest.Key + "x"}, 401},
		{"one letter less", []string{"Bearer " + cmdtest.Key[:len(cmdtest.Key)-1]}, 401},
		{"two spaces", []string{"Bearer  " + cmdtest.Key}, 401},
		{"twice", []string{"Bearer " + cmdtest.Key, "Bearer " + cmdtest.Key}, 401},
		{"wrong, then right", []string{"Bearer x", "Bearer " + cmdtest.Key}, 401},
	} {
		for _, path := range []string{"/admin/links", "/metrics", "/nothing", "/healthz/"} {
			r := httptest.NewRequest("GET", "http://symbolon.internal"+path, nil)
			r.Header["Authorization"] = test.headers
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("%s %s: %d, want %d", test.name, path, w.Code, test.status)
			}
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://h/healthz", nil))
	if w.Code != 200 {
		t.Errorf("health needs no key: %d", w.Code)
	}
}

func TestOperatorWithoutKey(t *testing.T) {
	h := operatorOnly("", http.HandlerFunc(healthz))
	for _, test := range []struct {
		host    string
		headers []string
		status  int
	}{
		{"127.0.0.1:4461", nil, 200},
		{"127.0.0.1", nil, 200},
		{"127.9.9.9:1", nil, 200},
		{"localhost:4461", nil, 200},
		{"LocalHost:4461", nil, 200},
		{"[::1]:4461", nil, 200},
		{"[::1]", nil, 200},
		{"", nil, 401},
		{"symbolon.example", nil, 401}, // DNS rebinding
		{"localhost.evil.example:4461", nil, 401},
		{"127.0.0.1.evil.example", nil, 401},
		{"evil.localhost:4461", nil, 401},
		{"0.0.0.0:4461", nil, 401},
		{"[::ffff:127.0.0.1]:4461", nil, 200},
		{"10.0.0.1:4461", nil, 401},
		{"localhost.:4461", nil, 401},
		{"a@127.0.0.1", nil, 401},
		{"127.0.0.1:4461", []string{"Sec-Fetch-Site", "cross-site"}, 401},
		{"127.0.0.1:4461", []string{"Sec-Fetch-Site", "same-site"}, 401},
		{"127.0.0.1:4461", []string{"Sec-Fetch-Site", "none"}, 200},
		{"127.0.0.1:4461", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"127.0.0.1:4461", []string{"Origin", "https://evil.example"}, 401},
		{"127.0.0.1:4461", []string{"Origin", "null"}, 401},
		{"127.0.0.1:4461", []string{"Origin", "http://127.0.0.1:8080"}, 401},
		{"127.0.0.1:4461", []string{"Origin", "http://127.0.0.1:4461"}, 200},
		{"127.0.0.1:4461", []string{"Origin", "::"}, 401},
		{"127.0.0.1:4461", []string{"X-Forwarded-For", "203.0.113.7"}, 401},
		{"127.0.0.1:4461", []string{"Forwarded", "for=203.0.113.7"}, 401},
		{"127.0.0.1:4461", []string{"Via", "1.1 proxy"}, 401},
	} {
		r := httptest.NewRequest("GET", "http://h/admin/links", nil)
		r.Host = test.host
		for i := 0; i+1 < len(test.headers); i += 2 {
			r.Header.Set(test.headers[i], test.headers[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("Host %q, %v: %d, want %d", test.host, test.headers, w.Code, test.status)
		}
	}
}
