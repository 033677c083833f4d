package createurl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/symbolon-id/symbolon"
)

// TestReferenceVectors checks the headers of the standard's own example.
func TestReferenceVectors(t *testing.T) {
	signer, err := standardwebhooks.NewWebhook("whsec_" + published)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{URL: "http://127.0.0.1/", signers: []*standardwebhooks.Webhook{signer, signer}}
	q := question{message: "msg_p5jXN8AQM9LWM0D4loKWxJek", body: []byte(`{"test": 2432232314}`)}
	req, err := c.request(t.Context(), q, time.Unix(1614265330, 999))
	if err != nil {
		t.Fatal(err)
	}
	const v = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	for name, want := range map[string]string{"webhook-id": q.message, "webhook-timestamp": "1614265330", "webhook-signature": v + " " + v} {
		if got := req.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestSecrets(t *testing.T) {
	good := DeriveSecrets([]symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")})
	if len(good) != 1 || CheckSecret(good[0]) != nil {
		t.Fatalf("derived: %d, %v", len(good), CheckSecret(good[0]))
	}
	for _, bad := range []string{"", "whsec_", published, "whsec_" + published, good[0][6:], good[0] + "=", "WHSEC_" + good[0][6:],
		"whsec_AAECAwQFBgcICQoLDA0ODxA=", "whsec_" + strings.Repeat("AAAA", 10), "whsec_" + strings.Repeat("AAECAwQFBgcI", 10), " " + good[0]} {
		if err := CheckSecret(bad); err == nil || len(bad) > 6 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCheck(t *testing.T) {
	c := &Client{URL: "ftp://x", Secrets: []string{"a", "b", "c"}, Columns: map[string]string{"x": "nonsense"}}
	err := c.Check()
	for _, want := range []string{"URL", "3 secrets", "secret 2", "column x"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := c.Create(t.Context(), symbolon.Identity{}); err == nil || errors.Is(err, symbolon.ErrCannotCreate) {
		t.Errorf("Create: %v", err)
	}
	c.Close()
}

func TestURLs(t *testing.T) {
	for url, good := range map[string]bool{
		"https://app.example.org/internal/users": true, "https://app.example.org/index.php?route=users": true, "http://127.0.0.1:8080/": true,
		"http://[::1]:8080/users": true, "http://10.1.2.3/users": true, "http://192.168.1.1/": true, "http://172.16.0.1/": true,
		"http://[fd12::1]/": true, "http://100.64.0.1/": true, "http://app:3000/users": true, "https://93.184.216.34/": true,
		"http://app.internal/": true, "HTTP://127.0.0.1/": true,

		"https://app-1.example.org./": true, "http://2app:3000/": true, "http://cafe/": true, "http://0xapp/": true,
		"http://2130706433/": false, "http://127.1/": false, "http://0x7f.1/": false, "https://0x7F000001/": false, "http://127.0.0.1./": false,
		"http://1.2.3.4.5/": false, "https://08/": false, "https://a.1/": false,

		"": false, "app:3000/users": false, "/users": false, "ftp://app/": false, "file:///etc/passwd": false, "http://": false,
		"http:///users": false, "http://user:pass@127.0.0.1/": false, "https://app/#users": false, "http://app:port/": false, "http://app:0/": false,
		"http://app:65536/": false, "http://app:/": false, "http://[::1]:99999/": false,
		"http://169.254.169.254/": false, "https://169.254.169.254/": false, "http://[fe80::1%25eth0]/": false, "http://0.0.0.0/": false,
		"http://93.184.216.34/": false, "http://[::ffff:169.254.169.254]/": false, "https://[fd00:ec2::254]/": false,
		"http://100.100.100.200/": false, "https://192.0.0.192/": false, "https://224.0.0.1/": false, "https://255.255.255.255/": false,
		"https://[64:ff9b::a9fe:a9fe]/": false, "http://[::]/": false, "http://0.1.2.3/": false, "http://[2001:db8::1]/": false, "http://\x7f/": false,
	} {
		if err := CheckURL(url); (err == nil) != good {
			t.Errorf("%q: %v", url, err)
		} else if err != nil && strings.Contains(err.Error(), "pass") {
			t.Errorf("%q is repeated: %v", url, err)
		}
	}
}

// resolver is a DNS server that answers each question with the next address.
func resolver(t *testing.T, addresses ...string) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var asked atomic.Int32
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(answerDNS(buf[:n], func() string {
				return addresses[min(int(asked.Add(1))-1, len(addresses)-1)]
			}), from)
		}
	}()
	var d net.Dialer
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answerDNS answers a question for an IPv4 address, and answers that there is no IPv6
// address.
func answerDNS(q []byte, next func() string) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	end += 5
	out := append([]byte{}, q[:end]...)
	out[2], out[3] = 0x81, 0x80
	copy(out[6:12], []byte{0, 0, 0, 0, 0, 0})
	if binary.BigEndian.Uint16(q[end-4:]) == 1 {
		out[7] = 1
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		a := netip.MustParseAddr(next()).As4()
		out = append(out, a[:]...)
	}
	return out
}

// TestRebinding (T25) checks that the address of a host name is checked at the moment of
// the connection, whatever it was before.
func TestRebinding(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id":1}`)) }))
	defer app.Close()
	port := netip.MustParseAddrPort(app.Listener.Addr().String()).Port()
	for _, later := range []string{"169.254.169.254", "0.0.0.0", "100.100.100.200", "93.184.216.34", "224.0.0.1"} {
		c := &Client{URL: fmt.Sprintf("http://app.example.org:%d/", port), Timeout: time.Minute,
			Secrets: DeriveSecrets([]symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")})}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		pool := c.http.Transport.(*http.Transport)
		d := dialer(true)
		d.Resolver = resolver(t, "127.0.0.1", later)
		pool.DialContext, pool.DisableKeepAlives = d.DialContext, true
		if user, err := c.Create(t.Context(), identity(1)); err != nil || user != "1" {
			t.Fatalf("before: %q, %v", user, err)
		}
		_, err := c.Create(t.Context(), identity(2))
		var refused *addressError
		if !errors.Is(err, symbolon.ErrUnavailable) || !errors.As(err, &refused) || !strings.Contains(err.Error(), later) {
			t.Errorf("%s: %v", later, err)
		}
		c.Close()
	}
}

func identity(n int) symbolon.Identity {
	return symbolon.Identity{ID: symbolon.IdentityID(fmt.Sprintf("1d000000-0000-4000-8000-%012d", n))}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 7 * time.Second, "1": time.Second, " 2 ": 2 * time.Second, "0": 0, "60": time.Minute, "61": time.Minute, "999999999": time.Minute,
		"-1": 7 * time.Second, "1.5": 7 * time.Second, "soon": 7 * time.Second, "99999999999999999999": 7 * time.Second,
		"Wed, 25 Nov 2026 12:00:03 GMT": 3 * time.Second, "Wed, 25 Nov 2026 11:00:00 GMT": 0, "Fri, 01 Jan 2100 00:00:00 GMT": time.Minute,
	} {
		if got := retryAfter(text, now, 7*time.Second); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestDenials checks that denials are cached for a while, for the same request only, and
// that their number is limited.
func TestDenials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d denials
		ask := func(content byte) question {
			return question{identity: identity(1).ID, digest: [32]byte{content}}
		}
		denied := func(content byte, want error) {
			t.Helper()
			if err := d.of(ask(content)); !errors.Is(err, want) {
				t.Errorf("question %d: %v, want %v", content, err, want)
			}
		}
		first, second := &Refusal{Status: 403}, &Refusal{Status: 422}
		denied(1, nil)
		d.remember(ask(1), first, 0)
		denied(1, nil)
		d.remember(ask(1), first, time.Minute)
		denied(1, first)
		denied(2, nil)
		time.Sleep(30 * time.Second)
		d.forget(identity(1).ID)
		denied(1, nil)
		d.remember(ask(2), second, time.Minute)
		time.Sleep(59 * time.Second) // until just before the first one expires
		denied(2, second)
		time.Sleep(2 * time.Second)
		denied(2, nil)
		if len(d.byID) != 0 {
			t.Errorf("%d stay behind", len(d.byID))
		}
		for n := range maxDenials + 1 {
			d.remember(question{identity: identity(n).ID}, first, time.Minute)
		}
		if len(d.byID) != maxDenials || d.of(question{identity: identity(maxDenials).ID}) != nil {
			t.Errorf("%d are remembered", len(d.byID))
		}
		time.Sleep(2 * time.Minute)
	})
}

// FuzzParseAnswer checks that an accepted ID is unchanged by a database, a header and a
// path, and that another JSON parser finds the same ID.
func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{`{"id":"42"}`, `{"id":42}`, `{"id":-9223372036854775808}`, `{"id":"a","ID":"b"}`, `{"id":{"$oid":"x"}}`,
		`{"id":"\ud800"}`, `{"id":"é","x":[1,{"id":2}]}`, `{"id":"x y"}`, `{"id":1e3}`, `[]`, `{"id":"` + strings.Repeat("x", 256) + `"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		user, err := parseAnswer(body)
		if err != nil {
			if user != "" || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q with error %v", user, err)
			}
			return
		}
		again, err := parseAnswer([]byte(fmt.Sprintf(`{"id":%q}`, string(user))))
		if plain := !strings.ContainsAny(string(user), `\"`) && isASCII(string(user)); plain && (err != nil || again != user) {
			t.Fatalf("%q is read as %q, %v", user, again, err)
		}
		if user == "" || len(user) > maxID || strings.TrimSpace(string(user)) != string(user) || strings.ContainsAny(string(user), "\x00\r\n\t") {
			t.Fatalf("an ID of %q", user)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 126 })
}

// TestDocument checks that the POST in docs/create-url.md is a request of this package,
// because authors use it for their tests.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/create-url.md")
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{URL: "http://127.0.0.1/internal/users", Secrets: []string{"whsec_F6LMPaZ4GZbXTWuR9ZEHUZ9QfnlpFKtl"},
		Columns: map[string]string{"email": "traits.email", "name": "traits.name", "active": "active"}}
	defer c.Close()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	q, err := c.question(symbolon.Identity{ID: "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50", Traits: []byte(`{"email":"ada@example.com"}`)})
	if err != nil {
		t.Fatal(err)
	}
	req, err := c.request(t.Context(), q, time.Unix(1764000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"POST /internal/users", "content-type: application/json", string(q.body), c.Secrets[0]}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		want = append(want, name+": "+req.Header.Get(name))
	}
	for _, line := range want {
		if !strings.Contains(string(text), line) {
			t.Errorf("docs/create-url.md does not say %q", line)
		}
	}
}
