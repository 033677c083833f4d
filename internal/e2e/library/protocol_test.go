package library

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/internal/e2e"
)

// model plays a proxy that is not installed, with the fields of its shipped
// configuration. It removes headers, asks Symbolon in this proxy's form, and copies
// headers of the answer.
type model struct {
	strip func(http.Header) // runs first
	ask   func(client *http.Request) (url string, method string, h http.Header)
	copy  []string
}

// pass returns the headers that the application gets; nil: the request is not let
// through.
func (m *model) pass(t *testing.T, client *http.Request) (http.Header, int) {
	t.Helper()
	m.strip(client.Header)
	url, method, header := m.ask(client)
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		return nil, 400 // not a valid URL
	}
	r.Header = header
	res, err := http.DefaultTransport.RoundTrip(r) // does not follow redirects
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return nil, res.StatusCode
	}
	for _, name := range m.copy {
		client.Header.Del(name)
		if values := res.Header.Values(name); len(values) > 0 {
			client.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return client.Header, res.StatusCode
}

// parse reads an attempt as a strict server does; nil: the server refuses it.
func parse(a attempt, credential string) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(a.request(credential))))
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, r.Body)
	for name, values := range r.Header {
		bad := func(v string) bool { return strings.ContainsAny(v, "\x00\r\n") }
		if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || slices.ContainsFunc(values, bad) {
			return nil // a name with dots: a list of names cannot cover all of these, see the READMEs
		}
	}
	r.Header.Del("Connection")
	return r
}

func example(t *testing.T, elem ...string) string {
	t.Helper()
	text, err := os.ReadFile(e2e.File(t, append([]string{"examples", "proxies"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// find returns the first value of a key anywhere in the YAML.
func find(t *testing.T, n *yaml.Node, key string) *yaml.Node {
	t.Helper()
	if got := search(n, key); got != nil {
		return got
	}
	t.Fatalf("the configuration lacks the key %s", key)
	return nil
}

func search(n *yaml.Node, key string) *yaml.Node {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Value == key {
			return n.Content[i+1]
		}
		if got := search(c, key); got != nil {
			return got
		}
	}
	return nil
}

func parseYAML(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return &n
}

// words returns all scalars below a node, without keys.
func words(n *yaml.Node) (out []string) {
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	for i, c := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			out = append(out, words(c)...)
		}
	}
	return out
}

func (b *behind) traefik() *model {
	root := parseYAML(b.t, example(b.t, "traefik", "symbolon.yml"))
	custom, forward := find(b.t, root, "customRequestHeaders"), find(b.t, root, "forwardAuth")
	if got := words(find(b.t, root, "middlewares").Content[0]); got == nil || find(b.t, forward, "trustForwardHeader").Value != "false" {
		b.t.Fatal("the configuration trusts forwarded headers")
	}
	chain := words(find(b.t, find(b.t, root, "routers"), "middlewares"))
	if !slices.Equal(chain, []string{"strip-identity", "symbolon"}) {
		b.t.Fatalf("the middlewares are %v", chain)
	}
	address := strings.Replace(find(b.t, forward, "address").Value, "http://127.0.0.1:4460", b.auth.URL, 1)
	return &model{
		strip: func(h http.Header) {
			for i := 0; i < len(custom.Content); i += 2 {
				h.Del(custom.Content[i].Value) // an empty value removes the header
			}
		},
		ask: func(client *http.Request) (string, string, http.Header) {
			h := client.Header.Clone() // all headers
			h.Set("X-Forwarded-Method", client.Method)
			h.Set("X-Forwarded-Proto", "http")
			h.Set("X-Forwarded-Host", client.Host)
			h.Set("X-Forwarded-Uri", client.RequestURI)
			return address, http.MethodGet, h
		},
		copy: words(find(b.t, forward, "authResponseHeaders")),
	}
}

func (b *behind) envoy() *model {
	root := parseYAML(b.t, example(b.t, "envoy", "envoy.yaml"))
	if find(b.t, root, "failure_mode_allow").Value != "false" || find(b.t, root, "headers_with_underscores_action").Value != "DROP_HEADER" {
		b.t.Fatal("the configuration fails open, or passes names with underscores on")
	}
	prefix, allowed := find(b.t, root, "path_prefix").Value, words(find(b.t, root, "allowed_headers"))
	removed := words(find(b.t, root, "request_mutations"))
	odd := regexp.MustCompile("^(?:" + find(b.t, root, "safe_regex").Content[1].Value + ")$")
	return &model{
		strip: func(h http.Header) {
			for name := range h {
				if lower := strings.ToLower(name); strings.Contains(name, "_") || slices.Contains(removed, lower) || odd.MatchString(lower) {
					delete(h, name)
				}
			}
		},
		ask: func(client *http.Request) (string, string, http.Header) {
			h := http.Header{}
			for _, name := range append(allowed, "authorization") {
				if values := client.Header.Values(name); values != nil {
					h[http.CanonicalHeaderKey(name)] = values
				}
			}
			return b.auth.URL + prefix + client.RequestURI, client.Method, h
		},
		copy: words(find(b.t, root, "allowed_upstream_headers")),
	}
}

// TestOtherProxies tests Traefik and Envoy at protocol level: the request that each sends
// with its shipped configuration, and the headers that reach the application.
func TestOtherProxies(t *testing.T) {
	t.Parallel()
	b := newBehind(t, true)
	signedIn := "X-Session-Token: " + b.person.Token + "\r\n"
	for name, m := range map[string]*model{"traefik": b.traefik(), "envoy": b.envoy()} {
		t.Run(name, func(t *testing.T) {
			if len(m.copy) != len(identityHeaders) {
				t.Fatalf("the proxy copies the headers %v", m.copy)
			}
			reached, refused := 0, 0
			for _, a := range spoofedHeaders() {
				client := parse(a, signedIn)
				if client == nil {
					continue
				}
				stripped := client.Header.Clone()
				m.strip(stripped)
				for key := range stripped {
					if slices.ContainsFunc(identityHeaders, func(ours string) bool { return collapse(key) == collapse(ours) }) {
						t.Errorf("%s: %s is not stripped", a.name, key)
					}
				}
				h, status := m.pass(t, client)
				if h == nil {
					t.Errorf("%s: %d", a.name, status)
					continue
				}
				reached++
				judgeSpoof(t, a.name, h, b.user)
			}
			for _, a := range append(spoofedTargets(), spoofedHeaders()...) {
				if client := parse(a, ""); client != nil {
					refused++
					if h, status := m.pass(t, client); h != nil {
						t.Errorf("%s: a stranger was let in: %d", a.name, status)
					}
				}
			}
			if reached < 50 || refused < 100 {
				t.Errorf("%d reached the application, %d were refused", reached, refused)
			}
			t.Logf("%d spoofed requests with the right user, %d strangers refused", reached, refused)
		})
	}
	// envoy.yaml warns of the prefix /auth: with it every path is refused.
	for _, target := range []string{"/optional/", "/optional/x", "/", "/aal2/", "/..;/optional"} {
		if status, _ := fetch(t, b.auth.URL+"/auth"+target, map[string]string{"X-Session-Token": b.person.Token}); status != 404 {
			t.Errorf("/auth%s: %d", target, status)
		}
	}
}

// TestOathkeeper tests the request of Oathkeeper's hydrator and the headers that
// Oathkeeper then sets.
func TestOathkeeper(t *testing.T) {
	t.Parallel()
	b := newBehind(t, true)
	root := parseYAML(t, example(t, "oathkeeper", "oathkeeper.yml"))
	if find(t, root, "subject_from").Value != "identity.id" || !strings.HasSuffix(find(t, find(t, root, "hydrator"), "url").Value, "/hydrate") {
		t.Fatal("the subject is not the identity's ID, or the hydrator has another URL")
	}
	basic := find(t, root, "basic")
	user, password := find(t, basic, "username").Value, find(t, basic, "password").Value
	hydrate := httptest.NewServer(&forwardauth.Hydrate{ForwardAuth: &forwardauth.ForwardAuth{Verifier: b.world.auth}, User: user, Passwords: []string{password}})
	t.Cleanup(hydrate.Close)
	set := 0
	for _, a := range spoofedHeaders() {
		client := parse(a, "X-Session-Token: "+b.person.Token+"\r\n")
		if client == nil {
			continue
		}
		body := fmt.Sprintf(`{"subject":%q,"extra":{"id":"x"},"header":{},"match_context":{"method":%q}}`, b.person.IdentityID, client.Method)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, hydrate.URL+"/hydrate", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range client.Header {
			if name != "Connection" && name != "Content-Length" && name != "Trailer" && name != "Upgrade" && name != "Expect" {
				r.Header[name] = values
			}
		}
		r.SetBasicAuth(user, password)
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Subject string
			Header  http.Header
		}
		err = json.NewDecoder(res.Body).Decode(&answer)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != 200 || answer.Subject != b.person.IdentityID {
			t.Fatalf("%s: %d %v", a.name, res.StatusCode, err)
		}
		for name := range answer.Header { // as CopyHeaders of Oathkeeper does
			client.Header.Set(name, answer.Header.Get(name))
		}
		for name := range client.Header { // Oathkeeper cannot remove these, see rules.yml
			if strings.Contains(name, "_") {
				delete(client.Header, name)
			}
		}
		set++
		judgeSpoof(t, a.name, client.Header, b.user)
	}
	if set < 50 {
		t.Errorf("only %d requests", set)
	}
}
