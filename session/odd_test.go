package session

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon/ory"
)

const whoamiOK = `{"id":"00000001-5e55-4000-8000-000000000000","active":true,"expires_at":"2036-01-01T00:00:00Z",` +
	`"authenticated_at":"2026-01-01T00:00:00Z","authenticator_assurance_level":"aal1",` +
	`"identity":{"id":"00000001-1de0-4000-8000-000000000000","schema_id":"default","state":"active","traits":{},` +
	`"verifiable_addresses":[],"metadata_public":null,"created_at":"2026-01-01T00:00:00Z"}}`

func says(status int, kind, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func hijacked(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, raw)
		_ = conn.Close()
	}
}

// oddAnswers is the list of INVARIANTS §4-O: answers of whoami, with the status for an
// unknown credential. 0 means 503.
func oddAnswers() map[string]struct {
	h      http.HandlerFunc
	status int
} {
	const isJSON = "application/json; charset=utf-8"
	odd := func(old, with string) http.HandlerFunc {
		if !strings.Contains(whoamiOK, old) {
			panic(old)
		}
		return says(200, isJSON, strings.Replace(whoamiOK, old, with, 1))
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 32<<20))
	_ = z.Close()
	type row = struct {
		h      http.HandlerFunc
		status int
	}
	return map[string]row{
		"200 complete":            {says(200, isJSON, whoamiOK), 200},
		"200 other schema":        {odd(`"schema_id":"default"`, `"schema_id":"customers"`), 200},
		"200 unknown fields":      {odd(`"active":true`, `"active":true,"new":{"id":7}`), 200},
		"200 without identity":    {odd(whoamiOK[strings.Index(whoamiOK, `,"identity"`):], `}`), 0},
		"200 identity null":       {odd(whoamiOK[strings.Index(whoamiOK, `{"id":"00000001-1de0`):len(whoamiOK)-1], `null`), 0},
		"200 active false":        {odd(`"active":true`, `"active":false`), 0},
		"200 active missing":      {odd(`"active":true,`, ``), 0},
		"200 expired":             {odd(`2036-01-01`, `2026-01-02`), 0},
		"200 expires in 0001":     {odd(`2036-01-01`, `0001-01-01`), 0},
		"200 expires in 9999":     {odd(`2036-01-01`, `9999-12-31`), 0},
		"200 expires in 3000":     {odd(`2036-01-01`, `3000-12-31`), 0},
		"200 expires missing":     {odd(`"expires_at":"2036-01-01T00:00:00Z",`, ``), 0},
		"200 authenticated 0001":  {odd(`"authenticated_at":"2026-01-01`, `"authenticated_at":"0001-01-01`), 0},
		"200 authenticated ahead": {odd(`"authenticated_at":"2026-01-01`, `"authenticated_at":"2035-01-01`), 0},
		"200 state inactive":      {odd(`"state":"active"`, `"state":"inactive"`), 0},
		"200 state bogus":         {odd(`"state":"active"`, `"state":"bogus"`), 0},
		"200 identity ID nil":     {odd(`00000001-1de0-4000-8000-000000000000`, `00000000-0000-0000-0000-000000000000`), 0},
		"200 identity ID no UUID": {odd(`00000001-1de0-4000-8000-000000000000`, `admin`), 0},
		"200 session ID no UUID":  {odd(`00000001-5e55-4000-8000-000000000000`, `1`), 0},
		"200 identity twice":      {odd(`"active":true`, `"identity":{},"active":true`), 0},
		"200 other capitals":      {odd(`"identity"`, `"Identity"`), 0},
		"200 2 MB":                {says(200, isJSON, strings.Repeat(" ", 2<<20)+whoamiOK), 0},
		"200 HTML":                {says(200, "text/html", "<html>sign in</html>"), 0},
		"200 JSON as text":        {says(200, "text/plain", whoamiOK), 0},
		"200 empty":               {says(200, isJSON, ""), 0},
		"200 trailing":            {says(200, isJSON, whoamiOK+"{}"), 0},
		"204":                     {says(204, isJSON, ""), 0},
		"301":                     {says(301, isJSON, whoamiOK, "Location", "/ok"), 0},
		"307":                     {says(307, isJSON, whoamiOK, "Location", "/ok"), 0},
		"401":                     {says(401, "application/json", body401), 401},
		"401 plain":               {says(401, "text/plain", "unauthorized"), 0},
		"401 with whoami's body":  {says(401, isJSON, whoamiOK), 0},
		"403 AAL2":                {says(403, isJSON, bodyAAL), 403},
		"403":                     {says(403, isJSON, `{"error":{"code":403}}`), 0},
		"403 plain":               {says(403, "text/plain", "session_aal2_required"), 0},
		"404":                     {says(404, isJSON, body404), 0},
		"418":                     {says(418, isJSON, body401), 0},
		"429":                     {says(429, isJSON, body401), 0},
		"429 with Retry-After":    {says(429, isJSON, body401, "Retry-After", "1"), 0},
		"500":                     {says(500, isJSON, body500, "X-Kratos-Authenticated-Identity-Id", "00000001-1de0-4000-8000-000000000000"), 0},
		"500 with whoami's body":  {says(500, isJSON, whoamiOK), 0},
		"502":                     {says(502, "text/html", "bad gateway"), 0},
		"503":                     {says(503, isJSON, body500, "Retry-After", "3600"), 0},
		"cut body":                {hijacked("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2000\r\n\r\n" + whoamiOK), 0},
		"Content-Length too low":  {hijacked("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n" + whoamiOK), 0},
		"cut chunk":               {hijacked("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + whoamiOK), 0},
		"reset":                   {hijacked("HTTP/1.1 200 OK\r\n"), 0},
		"not HTTP":                {hijacked("220 mail ready\r\n"), 0},
		"gzip bomb":               {says(200, isJSON, bomb.String(), "Content-Encoding", "gzip"), 0},
		"stall": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", isJSON)
			_, _ = io.WriteString(w, whoamiOK[:100])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 0},
	}
}

// TestOddAnswers checks that only complete evidence lets a request in, that only a proved
// 401 is 401, and that everything else is 503. A cached answer is used for exactly
// MaxStale, whatever Ory answers meanwhile.
func TestOddAnswers(t *testing.T) {
	for name, odd := range oddAnswers() {
		t.Run(name, func(t *testing.T) {
			want := odd.status
			if want == 0 {
				want = 503
			}
			synctest.Test(t, func(t *testing.T) { oddAnswer(t, odd.h, want) })
		})
	}
}

func oddAnswer(t *testing.T, odd http.HandlerFunc, want int) {
	var whoami atomic.Value
	whoami.Store(odd)
	h := oddOry(t, &whoami)
	if status, said := through(h, byToken("ory_st_new")); status != want {
		t.Errorf("uncached: got %d %s, want %d", status, said, want)
	}
	// Now a session that was let in before.
	time.Sleep(time.Minute)
	whoami.Store(says(200, "application/json", whoamiOK))
	if status, said := through(h, byToken("ory_st_seen")); status != 200 {
		t.Errorf("the good answer before: %d %s", status, said)
	}
	whoami.Store(odd)
	time.Sleep(defaultMaxStale - time.Millisecond)
	if status, said := through(h, byToken("ory_st_seen")); status != 200 {
		t.Errorf("cached: %d %s", status, said)
	}
	time.Sleep(time.Millisecond)
	if status, said := through(h, byToken("ory_st_seen")); status != want {
		t.Errorf("after MaxStale: got %d %s, want %d", status, said, want)
	}
}

// oddOry is an Ory that works except for whoami. It speaks real HTTP over pipes, so that
// synctest can run it. Its admin API shows the session as revoked.
func oddOry(t *testing.T, whoami *atomic.Value) http.Handler {
	l := pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/sessions/whoami":
			whoami.Load().(http.HandlerFunc)(w, r)
		case "/health/ready":
			says(200, "application/json", `{"status":"ok"}`)(w, r)
		case "/admin/sessions":
			says(200, "application/json", `[]`)(w, r)
		case "/admin/sessions/00000001-5e55-4000-8000-000000000000":
			says(200, "application/json", strings.Replace(whoamiOK, `"active":true`, `"active":false`, 1))(w, r)
		case "/ok":
			t.Error("a redirect was followed")
		default:
			says(404, "application/json", body404)(w, r)
		}
	})}
	go func() { _ = srv.Serve(l) }()
	client := &ory.Client{PublicURL: "http://kratos", AdminURL: "http://kratos"}
	client.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		l.conns <- there
		return here, nil
	}}}
	w := newWorld(t)
	w.v.Linker.Ory = client
	t.Cleanup(func() { // before the bubble ends
		w.v.Close()
		client.CloseIdleConnections()
		_ = srv.Close()
	})
	// Bubbles begin in the year 2000, which is before the times in the answers.
	w.v.Now = func() time.Time { return time.Now().AddDate(26, 10, 0) }
	return w.v.Require(http.HandlerFunc(whoIs))
}

// pipes is a listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	secure := httptest.NewTLSServer(says(200, "application/json", whoamiOK))
	defer secure.Close()
	secure.Config.ErrorLog = nil
	for name, url := range map[string]string{"refused": "http://" + l.Addr().String(), "TLS": secure.URL, "DNS": "http://no-such-host.internal"} {
		w := newWorld(t)
		w.v.Ory = &ory.Client{PublicURL: url, AdminURL: url, Timeout: time.Second}
		if status, said := w.ask(byToken("ory_st_x")); status != 503 {
			t.Errorf("%s: %d %s", name, status, said)
		}
		w.v.Ory.CloseIdleConnections()
	}
}

// TestRateLimitIsShared checks that after a 429 no question is sent until the time that
// Ory demands, and that nobody is logged out.
func TestRateLimitIsShared(t *testing.T) {
	w := newWorld(t)
	token, _ := w.person(1)
	w.ask(byToken(token))
	w.answer = func(*http.Request) *http.Response {
		resp := response(429, "")
		resp.Header.Set("X-Ratelimit-Reset", "30")
		return resp
	}
	for n := range 50 {
		status, said := w.ask(byToken(fmt.Sprintf("ory_st_other%d", n)))
		expect(t, status, said, 503, "unavailable")
	}
	if w.times("whoami") != 2 {
		t.Errorf("%v", w.asked)
	}
	if status, _ := w.ask(byToken(token)); status != 200 {
		t.Errorf("cached: %d", status)
	}
}
