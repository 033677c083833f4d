package server

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func bare(_ string, next http.Handler) http.Handler { return next }

func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, name+" "+r.PathValue("id")) })
}

func TestRouterMatchesBytes(t *testing.T) {
	rt := newRouter([]route{
		{"GET", "/a", echo("a")}, {"", "/any", echo("any")}, {"GET", "/users/{id}", echo("user")}, {"POST", "/users/{id}/sync", echo("sync")},
		{"DELETE", "/users/{id}", echo("no user")},
	}, bare)
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/a", 200, "a "},
		{"HEAD", "/a", 200, ""},
		{"POST", "/a", 405, ""},
		{"OPTIONS", "/a", 405, ""},
		{"PURGE", "/any", 200, "any "},
		{"TRACE", "/any", 200, "any "},
		{"GET", "/users/42", 200, "user 42"},
		{"HEAD", "/users/42", 200, ""},
		{"DELETE", "/users/42", 200, "no user 42"},
		{"PUT", "/users/42", 405, ""},
		{"GET", "/users/a%2Fb", 200, "user a/b"},
		{"GET", "/users/%00", 200, "user \x00"},
		{"GET", "/users/..", 200, "user .."},
		{"GET", "/users/42?x=/users/43", 200, "user 42"},
		{"POST", "/users/42/sync", 200, "sync 42"},
		{"GET", "/users/42/sync", 405, ""},
		{"GET", "/users/", 404, ""},
		{"GET", "/users", 404, ""},
		{"GET", "/users/42/", 404, ""},
		{"GET", "/users//42", 404, ""},
		{"GET", "/users/a/b", 404, ""},
		{"GET", "/users/42/../43", 404, ""},
		{"GET", "/", 404, ""},
		{"GET", "//a", 404, ""},
		{"GET", "/a/", 404, ""},
		{"GET", "/a//", 404, ""},
		{"GET", "/./a", 404, ""},
		{"GET", "/x/../a", 404, ""},
		{"GET", "/A", 404, ""},
		{"GET", "/%61", 404, ""},
		{"GET", "/a%2f", 404, ""},
		{"GET", "/a%00", 404, ""},
		{"GET", "/a;x=1", 404, ""},
		{"GET", "/a%3Fx", 404, ""},
		{"GET", "/a\\", 404, ""},
		{"GET", "/a%20", 404, ""},
	} {
		r := httptest.NewRequest(test.method, "http://h/", nil)
		var err error
		if r.URL, err = url.ParseRequestURI(test.path); err != nil { // as net/http does
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, r)
		if w.Code != test.status || test.status == 200 && test.method != "HEAD" && w.Body.String() != test.body {
			t.Errorf("%s %s: %d %q, want %d %q", test.method, test.path, w.Code, w.Body, test.status, test.body)
		}
		if test.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", test.method, test.path)
		}
		if test.status >= 400 && !strings.HasPrefix(w.Body.String(), `{"error":{"code":`) {
			t.Errorf("%s %s: %s does not have the form of an error", test.method, test.path, w.Body)
		}
	}
}

// TestRawRequests sends raw bytes. The parsing by net/http must not change the meaning of
// a path.
func TestRawRequests(t *testing.T) {
	s := &listeners{log: slog.New(slog.DiscardHandler)}
	srv := s.httpServer(listener{handler: newRouter([]route{{"", "/auth", echo("in")}}, bare)})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(socket) }()
	defer func() { _ = srv.Close() }()
	for _, test := range []struct {
		line   string
		status int
	}{
		{"GET /auth HTTP/1.1", 200},
		{"GET /auth HTTP/1.0", 200},
		{"GET http://other/auth HTTP/1.1", 200},
		{"PURGE /auth HTTP/1.1", 200},
		{strings.Repeat("M", 1000) + " /auth HTTP/1.1", 200},
		{"CONNECT /auth HTTP/1.1", 200},
		{"GET //auth HTTP/1.1", 404},
		{"GET // HTTP/1.1", 404},
		{"GET ///auth HTTP/1.1", 404},
		{"GET /auth/ HTTP/1.1", 404},
		{"GET /auth/..;/ HTTP/1.1", 404},
		{"GET /%2e%2e/auth HTTP/1.1", 404},
		{"GET /auth%00 HTTP/1.1", 404},
		{"GET /auth\\ HTTP/1.1", 404},
		{"GET /auth#x HTTP/1.1", 404},
		{"GET /auth\xff HTTP/1.1", 404},
		{"OPTIONS * HTTP/1.1", 404},
		{"GET /%u002e HTTP/1.1", 400},
		{"GET auth HTTP/1.1", 400},
		{"GET /auth x HTTP/1.1", 400},
		{"GET /auth HTTP/9.9", 505},
		{"GET /" + strings.Repeat("a", 8<<10) + " HTTP/1.1", 404},
		{"GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1", 431},
		{"GET /auth HTTP/1.1\r\nHost: b", 400},
		{"GET /auth HTTP/1.1\r\nCookie: " + strings.Repeat("a", 64<<10), 431},
		{"GET /auth HTTP/1.1\r\nCookie: " + strings.Repeat("a", 60<<10), 200},
		{"GET /auth HTTP/1.1\r\n x: folded", 400},
	} {
		c, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(c, "%s\r\nHost: a\r\nConnection: close\r\n\r\n", test.line)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%.60q: %v", test.line, err)
		} else if resp.StatusCode != test.status {
			t.Errorf("%.60q: %d, want %d", test.line, resp.StatusCode, test.status)
		}
		_ = c.Close()
	}
}
