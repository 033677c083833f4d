package server

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// TestHooksOnTheWire sends hooks as raw bytes, as Ory, a broken proxy or an attacker
// might. The answer is as in the catalogue of bad input, nothing is stored, and no more
// than the limit of a body is read.
func TestHooksOnTheWire(t *testing.T) {
	i := install(t, nil)
	srv := i.listeners.httpServer(listener{handler: i.Public()})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(socket) }()
	defer func() { _ = srv.Close() }()
	id, _ := i.ory.Add(1)
	good := fmt.Sprintf(`{"identity_id":%q}`, id)
	link, reserve := system.HookKeys(i.Config).Link[0], system.HookKeys(i.Config).Reserve[0]
	head := func(line, key, rest string) string {
		return line + "\r\nHost: a\r\nContent-Type: application/json\r\nX-Symbolon-Key: " + key + "\r\n" + rest + "\r\n"
	}
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	const post = "POST /hooks/link HTTP/1.1"
	tests := []struct {
		name, send string
		endless    bool // send chunks until the server stops reading
		status     int
		code       string
	}{
		{name: "no key", send: head(post, "", length(len(good))) + good, status: 401, code: "unauthenticated"},
		{name: "no key, endless", send: head(post, "x", "Transfer-Encoding: chunked\r\n"), endless: true, status: 401, code: "unauthenticated"},
		{name: "endless", send: head(post, link, "Transfer-Encoding: chunked\r\n"), endless: true, status: 413, code: "too_large"},
		{name: "endless, reserve", send: head("POST /hooks/reserve HTTP/1.1", reserve, "Transfer-Encoding: chunked\r\n"), endless: true, status: 200},
		{name: "a gigabyte announced", send: head(post, link, length(1<<30)), status: 413, code: "too_large"},
		{name: "less than announced", send: head(post, link, length(1000)) + good, status: 400, code: "invalid_request"},
		{name: "two lengths", send: head(post, link, length(5)+length(6)) + good, status: 400},
		{name: "length and chunks", send: head(post, link, length(3)+"Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", status: 400},
		{name: "an extra slash", send: head("POST /hooks//link HTTP/1.1", link, length(len(good))) + good, status: 404, code: "not_found"},
		{name: "a slash behind", send: head("POST /hooks/link/ HTTP/1.1", link, length(len(good))) + good, status: 404, code: "not_found"},
		{name: "GET", send: head("GET /hooks/link HTTP/1.1", link, ""), status: 405, code: "method_not_allowed"},
		{name: "an override is not honoured", send: head("GET /hooks/link HTTP/1.1", link, "X-HTTP-Method-Override: POST\r\n"), status: 405, code: "method_not_allowed"},
		{name: "the query is ignored", send: head("POST /hooks/link?identity_id=x HTTP/1.1", link, length(2)) + "{}", status: 400, code: "invalid_request"},
		{name: "HTTP/1.0", send: head("POST /hooks/link HTTP/1.0", link, length(len(good))) + good, status: 200},
		{name: "Expect", send: head(post, link, "Expect: 100-continue\r\n"+length(len(good))) + good, status: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := heap()
			status, body := exchange(t, socket.Addr().String(), tt.send, tt.endless)
			if status != tt.status || !strings.Contains(body, tt.code) {
				t.Errorf("%d %s, want %d %s", status, body, tt.status, tt.code)
			}
			if grown := heap() - before; grown > 4<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
			if n := i.users(t); (n == 1) != (tt.status == 200 && tt.name != "endless, reserve") && tt.name != "Expect" {
				t.Errorf("%d users", n)
			}
		})
	}
	for _, canary := range []string{link, reserve} {
		if strings.Contains(i.logs.String(), canary) {
			t.Error("a key is in the log")
		}
	}
}

// exchange sends a request and returns the final answer.
func exchange(t *testing.T, address, send string, endless bool) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	if endless {
		go pour(c)
	} else if strings.Contains(send, "Length: 1000\r\n") {
		_ = c.(*net.TCPConn).CloseWrite() // the client closes its side
	}
	r := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusContinue {
			return resp.StatusCode, string(body)
		}
	}
}

// pour sends up to a gigabyte in chunks. The server must stop reading long before.
func pour(c net.Conn) {
	chunk := []byte("8000\r\n" + strings.Repeat(" ", 0x8000) + "\r\n")
	for range 1 << 15 {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// users counts the rows of symbolon_users.
func (i *installation) users(t *testing.T) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(string(i.Config.Database), "sqlite://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(context.WithoutCancel(t.Context()), `select count(*) from symbolon_users`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
