package library

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// gate is between Kratos and the hooks. It can lose, refuse and delay calls.
type gate struct {
	url  string
	next http.Handler

	mu       sync.Mutex
	calls    []call
	dropLink bool
	other    string        // the answer of another application's hook
	fail     int           // the status of every answer
	hold     chan struct{} // the link hook waits until this channel is closed
	closed   bool
	server   *http.Server
	address  string
}

type call struct {
	path, answer string
	body         []byte
	header       http.Header
	status       int
}

func newGate(t *testing.T) *gate {
	g := &gate{}
	g.open(t, "127.0.0.1:0")
	g.url = "http://" + g.address
	t.Cleanup(g.close)
	return g
}

func (g *gate) open(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	g.address, g.closed = l.Addr().String(), false
	g.server = &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	go func() { _ = g.server.Serve(l) }()
}

// close stops the server of the hooks.
func (g *gate) close() {
	if !g.closed {
		g.closed = true
		_ = g.server.Close()
	}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	fail, drop, hold := g.fail, g.dropLink && r.URL.Path != "/hooks/reserve", g.hold
	g.mu.Unlock()
	if hold != nil && r.URL.Path == "/hooks/link" {
		<-hold
	}
	c := call{path: r.URL.Path, body: body, header: r.Header.Clone()}
	switch {
	case r.URL.Path == "/other":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, g.other)
	case fail != 0:
		w.WriteHeader(fail)
		c.status = fail
	case drop:
		c.status = -1
	default:
		rec := httptest.NewRecorder()
		r.Body = io.NopCloser(bytes.NewReader(body))
		g.next.ServeHTTP(rec, r)
		c.status, c.answer = rec.Code, rec.Body.String()
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}
	g.mu.Lock()
	g.calls = append(g.calls, c)
	g.mu.Unlock()
	if c.status == -1 {
		panic(http.ErrAbortHandler)
	}
}

func (g *gate) set(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// of returns the calls of one hook.
func (g *gate) of(path string) (out []call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.calls {
		if c.path == path {
			out = append(out, c)
		}
	}
	return out
}
