package library

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/internal/e2e"
)

// nodeEcho is a backend in Node that returns the request's headers and trailers after it
// has read the body.
const nodeEcho = `require('http').createServer((q, s) => {
  q.resume()
  q.on('end', () => s.end(JSON.stringify({ user: q.headers['x-user-id'] || '', headers: q.rawHeaders, trailers: q.rawTrailers })))
}).listen(Number(process.env.PORT), '127.0.0.1')`

// keepsTrailers reports whether a proxy passes trailers on. They stay trailers, so code
// that reads headers does not see them. The proxies' READMEs say so.
func keepsTrailers(proxy string) bool { return proxy == "caddy" || proxy == "haproxy" }

// TestTrailers checks that a trailer X-User-Id never becomes a header, in Node and in Go.
// nginx and Traefik drop it, and the other proxies pass it on as a trailer.
func TestTrailers(t *testing.T) {
	t.Parallel()
	b := newBehind(t, true)
	address := e2e.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	node := exec.Command(e2e.Node(t), "-e", nodeEcho)
	node.Env = append(os.Environ(), "PORT="+port)
	e2e.StartProxy(t, node, address, "")
	for _, proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			b.t = t
			for _, who := range []string{b.user, ""} {
				b.elsewhere = address
				body := b.sendTrailer(t, b.start(proxy, "/auth/optional"), who)
				var got struct {
					User              string
					Headers, Trailers []string
				}
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				if got.User != who || strings.Contains(strings.Join(got.Headers, "\n"), "evil") {
					t.Errorf("Node sees user %q in %q, want %q", got.User, got.Headers, who)
				}
				if passedOn := strings.Contains(strings.Join(got.Trailers, "\n"), "evil"); passedOn != keepsTrailers(proxy) {
					t.Errorf("Node sees the trailers %q", got.Trailers)
				}

				b.elsewhere = ""
				b.sendTrailer(t, b.start(proxy, "/auth/optional"), who)
				_, seen := b.took()
				if len(seen) != 1 {
					t.Fatalf("%d requests reached the application", len(seen))
				}
				trailer := seen[0]["trailer X-User-Id"]
				if passedOn := strings.Join(trailer, "") == "evil"; passedOn != keepsTrailers(proxy) {
					t.Errorf("Go sees the trailer %q", trailer)
				}
				delete(seen[0], "trailer X-User-Id")
				judgeSpoof(t, "in Go", seen[0], who)
			}
		})
	}
}

// sendTrailer sends a body with an announced trailer X-User-Id, and returns the
// application's answer.
func (b *behind) sendTrailer(t *testing.T, address, who string) string {
	t.Helper()
	body := io.MultiReader(strings.NewReader("a body"), strings.NewReader(", in chunks"))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"X-User-Id": {"evil"}}
	if who != "" {
		r.Header.Set("X-Session-Token", b.person.Token)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %s %v", res.StatusCode, said, err)
	}
	return string(said)
}
