package createurl_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/createurl"
)

// The meaning of an answer.
const (
	yes     = "yes"     // the user
	no      = "no"      // cannot_create
	unclear = "unclear" // 503, and a later request asks again
)

// reply is an answer by HTTP. If raw is set, it is sent instead.
type reply struct {
	name   string
	means  string
	status int
	header string // "Name: value"
	body   string
	raw    string
	do     func(conn net.Conn)
	slow   bool            // nothing is sent until the client gives up
	user   symbolon.UserID // of the answer yes; empty means 42
}

func replies() []reply {
	long := strings.Repeat("x", 255)
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	return []reply{
		{name: "created", means: yes, status: 201, body: `{"id":"42"}`},
		{name: "ok", means: yes, status: 200, body: `{"id":"42"}`},
		{name: "existed", means: yes, status: 409, body: `{"id":"42"}`},
		{name: "a number", means: yes, status: 201, body: `{"id":42}`},
		{name: "a negative number", means: yes, status: 201, body: `{"id":-42}`, user: "-42"},
		{name: "the largest number", means: yes, status: 201, body: `{"id":9223372036854775807}`, user: "9223372036854775807"},
		{name: "a UUID", means: yes, status: 201, body: `{"id":"0190d1f2-0000-7000-8000-00000000002a"}`, user: "0190d1f2-0000-7000-8000-00000000002a"},
		{name: "an ObjectId of Mongo's", means: yes, status: 201, body: `{"id":"507f1f77bcf86cd799439011"}`, user: "507f1f77bcf86cd799439011"},
		{name: "a longest ID", means: yes, status: 201, body: `{"id":"` + long + `"}`, user: symbolon.UserID(long)},
		{name: "escapes", means: yes, status: 201, body: `{"id":"\u0034\u0032"}`},
		{name: "the whole user", means: yes, status: 201, body: `{"name":"Ada","id":"42","roles":[{"id":7}],"x":{"id":8}}`},
		{name: "spaces around", means: yes, status: 201, body: " \r\n{ \"id\" :\t\"42\" }\n"},
		{name: "no content type", means: yes, raw: "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n" + `{"id":"42"}`},
		{name: "chunks", means: yes, raw: head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n6\r\n:\"42\"}\r\n0\r\n\r\n"},
		{name: "early hints before", means: yes, raw: "HTTP/1.1 103 Early Hints\r\n\r\n" + head + "Content-Length: 11\r\n\r\n" + `{"id":"42"}`},
		{name: "identity encoding", means: yes, status: 200, header: "Content-Encoding: identity", body: `{"id":"42"}`},

		{name: "bad request", means: no, status: 400, body: `{"error":"email"}`},
		{name: "unauthorized", means: no, status: 401},
		{name: "payment required", means: no, status: 402},
		{name: "forbidden", means: no, status: 403, body: `{"id":"42"}`},
		{name: "not found", means: no, status: 404, body: "<html>"},
		{name: "method not allowed", means: no, status: 405},
		{name: "gone", means: no, status: 410},
		{name: "too large", means: no, status: 413},
		{name: "unprocessable", means: no, status: 422, body: `{"id":"42"}`},
		{name: "locked", means: no, status: 423},
		{name: "unavailable for legal reasons", means: no, status: 451},
		{name: "an unknown 4xx", means: no, status: 499},
		{name: "a denial whose body breaks off", means: no, raw: "HTTP/1.1 422 X\r\nContent-Length: 100\r\n\r\nx"},

		{name: "request timeout", means: unclear, status: 408},
		{name: "too early", means: unclear, status: 425},
		{name: "too many", means: unclear, status: 429, header: "Retry-After: 1"},
		{name: "internal error", means: unclear, status: 500, body: `{"id":"42"}`},
		{name: "bad gateway", means: unclear, status: 502},
		{name: "unavailable", means: unclear, status: 503, header: "Retry-After: 1"},
		{name: "gateway timeout", means: unclear, status: 504},
		{name: "the highest status", means: unclear, status: 599},
		{name: "accepted", means: unclear, status: 202, body: `{"id":"42"}`},
		{name: "no content", means: unclear, status: 204},
		{name: "partial content", means: unclear, status: 206, body: `{"id":"42"}`},
		{name: "a redirect", means: unclear, status: 302, header: "Location: /elsewhere", body: `{"id":"42"}`},
		{name: "a redirect that keeps the method", means: unclear, status: 307, header: "Location: http://169.254.169.254/"},
		{name: "not modified", means: unclear, status: 304},
		{name: "switching protocols", means: unclear, raw: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"},

		{name: "an empty body", means: unclear, status: 200},
		{name: "an empty object", means: unclear, status: 200, body: `{}`},
		{name: "409 without an ID", means: unclear, status: 409, body: `{"error":"the address is taken"}`},
		{name: "null", means: unclear, status: 201, body: `{"id":null}`},
		{name: "an empty ID", means: unclear, status: 201, body: `{"id":""}`},
		{name: "true", means: unclear, status: 201, body: `{"id":true}`},
		{name: "a list", means: unclear, status: 201, body: `{"id":["42"]}`},
		{name: "an object", means: unclear, status: 201, body: `{"id":{"$oid":"42"}}`},
		{name: "the ID of the list's element", means: unclear, status: 201, body: `[{"id":"42"}]`},
		{name: "text", means: unclear, status: 201, body: `"42"`},
		{name: "two IDs", means: unclear, status: 201, body: `{"id":"42","id":"43"}`},
		{name: "two IDs in two spellings", means: unclear, status: 201, body: `{"id":"42","ID":"43"}`},
		{name: "another spelling", means: unclear, status: 201, body: `{"Id":"42"}`},
		{name: "deeper", means: unclear, status: 201, body: `{"user":{"id":"42"}}`},
		{name: "a fraction", means: unclear, status: 201, body: `{"id":42.0}`},
		{name: "an exponent", means: unclear, status: 201, body: `{"id":42e0}`},
		{name: "minus zero", means: unclear, status: 201, body: `{"id":-0}`},
		{name: "a number beyond 64 bits", means: unclear, status: 201, body: `{"id":9223372036854775808}`},
		{name: "too long", means: unclear, status: 201, body: `{"id":"` + long + `x"}`},
		{name: "NUL", means: unclear, status: 201, body: `{"id":"4\u00002"}`},
		{name: "a line", means: unclear, status: 201, body: `{"id":"42\n"}`},
		{name: "a line feed and a header in the ID", means: unclear, status: 201, body: `{"id":"42\r\nX-User-Id: 1"}`},
		{name: "a space before", means: unclear, status: 201, body: `{"id":" 42"}`},
		{name: "half a surrogate", means: unclear, status: 201, body: `{"id":"\ud800"}`},
		{name: "a direction", means: unclear, status: 201, body: `{"id":"a\u202eb"}`},
		{name: "no UTF-8", means: unclear, status: 201, body: "{\"id\":\"\xff\"}"},
		{name: "a byte order mark before the JSON", means: unclear, status: 201, body: "\ufeff" + `{"id":"42"}`},
		{name: "two documents", means: unclear, status: 201, body: `{"id":"42"}{"id":"43"}`},
		{name: "cut JSON", means: unclear, status: 201, body: `{"id":"42"`},
		{name: "HTML", means: unclear, status: 200, header: "Content-Type: text/html", body: `<html>{"id":"42"}</html>`},
		{name: "too deep", means: unclear, status: 201, body: `{"id":"42","x":` + deep + `}`},
		{name: "too much", means: unclear, status: 201, body: `{"id":"42","x":"` + strings.Repeat("x", 64<<10) + `"}`},
		{name: "compressed", means: unclear, status: 201, header: "Content-Encoding: gzip", body: "\x1f\x8b\x08\x00\x00"},
		{name: "without an end", means: unclear, do: func(conn net.Conn) {
			_, _ = conn.Write([]byte(head + "Transfer-Encoding: chunked\r\n\r\n"))
			for _, err := conn.Write([]byte("1000\r\n" + strings.Repeat(" ", 4096) + "\r\n")); err == nil; {
				_, err = conn.Write([]byte("1000\r\n" + strings.Repeat(" ", 4096) + "\r\n"))
			}
		}},
		{name: "a body that breaks off", means: unclear, raw: head + "Content-Length: 100\r\n\r\n" + `{"id":"42"}`},
		{name: "a hung-up connection", means: unclear, do: func(net.Conn) {}},
		{name: "no HTTP", means: unclear, raw: "SSH-2.0-OpenSSH_9.2\r\n"},
		{name: "two lengths", means: unclear, raw: head + "Content-Length: 11\r\nContent-Length: 12\r\n\r\n" + `{"id":"42"}`},
		{name: "a header without an end", means: unclear, do: func(conn net.Conn) {
			_, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nX: "))
			for err == nil {
				_, err = conn.Write([]byte(strings.Repeat("x", 4096)))
			}
		}},
		{name: "silence", means: unclear, slow: true, do: func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }},
		{name: "half an answer, then silence", means: unclear, slow: true, do: func(conn net.Conn) {
			_, _ = conn.Write([]byte(head + "Content-Length: 11\r\n\r\n" + `{"id"`))
			_, _ = io.Copy(io.Discard, conn)
		}},
	}
}

func (r reply) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if r.raw == "" && r.do == nil {
		if name, value, ok := strings.Cut(r.header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(r.status)
		_, _ = w.Write([]byte(r.body))
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close() }()
	if r.do != nil {
		r.do(conn)
		return
	}
	_, _ = conn.Write([]byte(r.raw))
}

// TestAnswers checks the effect of each answer on the person and on the ledger. After
// every failure nothing is half done, and a later success links the person.
func TestAnswers(t *testing.T) {
	if n := len(replies()); n < 40 {
		t.Fatalf("%d kinds", n)
	}
	onBoth(t, func(t *testing.T, db database) {
		for i, r := range replies() {
			t.Run(r.name, func(t *testing.T) {
				server := httptest.NewServer(r)
				defer server.Close()
				db.empty(t)
				c := &createurl.Client{URL: server.URL, Patience: -1}
				if r.slow {
					c.Timeout = 200 * time.Millisecond
				}
				w := newWorld(t, db, c)
				id := person(i)
				link, err := w.link(t, id)
				switch r.means {
				case yes:
					want := r.user
					if want == "" {
						want = "42"
					}
					if err != nil || link.User != want {
						t.Fatalf("got user %q, %v", link.User, err)
					}
					return
				case no:
					if !errors.Is(err, symbolon.ErrCannotCreate) || errors.Is(err, symbolon.ErrUnavailable) {
						t.Fatalf("got %q, %v", link.User, err)
					}
					w.wantFindings(t, id, "cannot_create")
				default:
					if !errors.Is(err, symbolon.ErrUnavailable) || errors.Is(err, symbolon.ErrCannotCreate) {
						t.Fatalf("got %q, %v", link.User, err)
					}
					w.wantNothing(t, id)
				}
				if text := strings.ReplaceAll(err.Error(), string(id.ID), ""); strings.Contains(text, "42") && !strings.Contains(text, "answered 42") || strings.Contains(text, server.URL) {
					t.Errorf("the error repeats the answer: %v", err)
				}
				user := symbolon.UserID(fmt.Sprintf("later-%d", i))
				well := httptest.NewServer(reply{status: 201, body: `{"id":"` + string(user) + `"}`})
				defer well.Close()
				w = newWorld(t, db, &createurl.Client{URL: well.URL})
				if link, err := w.link(t, id); err != nil || link.User != user {
					t.Fatalf("then got %q, %v", link.User, err)
				}
				w.wantFindings(t, id, "")
			})
		}
	})
}

// TestStaleConnection checks that an idle connection that the application closes at the
// moment of its next use is not treated as an outage. Node closes idle connections after
// 5 seconds.
func TestStaleConnection(t *testing.T) {
	var used sync.Map
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, again := used.LoadOrStore(r.RemoteAddr, true); again {
			reply{do: func(net.Conn) {}}.ServeHTTP(w, r)
			return
		}
		if r.Header.Get("Idempotency-Key") != "" {
			t.Error("a header of net/http's own was sent")
		}
		_, _ = fmt.Fprintf(w, `{"id":%q}`, r.Header.Get("webhook-id"))
	}))
	defer app.Close()
	w := newWorld(t, open(t, "sqlite"), &createurl.Client{URL: app.URL})
	for n := range 5 {
		if _, err := w.link(t, person(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNotReachable has an application that is down, a name that cannot be resolved, and a
// certificate from an unknown authority.
func TestNotReachable(t *testing.T) {
	db := open(t, "sqlite")
	closed := httptest.NewServer(nil)
	closed.Close()
	strange := httptest.NewTLSServer(reply{status: 201, body: `{"id":"42"}`})
	defer strange.Close()
	for i, url := range []string{closed.URL, "http://nobody.invalid/", strange.URL} {
		w := newWorld(t, db, &createurl.Client{URL: url})
		if _, err := w.link(t, person(i)); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("%d: %v", i, err)
		}
		w.wantNothing(t, person(i))
	}
	// A client that trusts the certificate gets the answer.
	w := newWorld(t, db, &createurl.Client{URL: strange.URL, HTTP: strange.Client()})
	if link, err := w.link(t, person(3)); err != nil || link.User != "42" {
		t.Errorf("got %q, %v", link.User, err)
	}
}
