package library

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// provider is an OpenID Connect provider. It signs in the person whom the
// test names, without asking.
type provider struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	signer jose.Signer

	mu     sync.Mutex
	claims map[string]any // of the next sign-in
	issued map[string]map[string]any
}

func startProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, issued: map[string]map[string]any{}}
	if p.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		respond(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		respond(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("/auth", p.authorise)
	mux.HandleFunc("/token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func respond(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// says sets the claims of the next sign-in.
func (p *provider) says(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

func (p *provider) authorise(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	p.mu.Lock()
	claims := maps.Clone(p.claims)
	if nonce := q.Get("nonce"); nonce != "" {
		claims["nonce"] = nonce
	}
	claims["aud"] = q.Get("client_id")
	p.issued[code] = claims
	p.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	claims := p.issued[r.FormValue("code")]
	p.mu.Unlock()
	now := time.Now()
	token, err := jwt.Signed(p.signer).Claims(claims).Claims(map[string]any{"iss": p.URL, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}).Serialize()
	if err != nil || claims == nil {
		http.Error(w, "unknown code", http.StatusBadRequest)
		return
	}
	respond(w, map[string]any{"access_token": "a", "token_type": "Bearer", "expires_in": 3600, "id_token": token})
}

// signInBy signs a person in, or up, by the provider in a browser. It returns the session's
// cookie, or nil if Kratos made no session.
func (w *world) signInBy(p *provider, claims map[string]any) *http.Cookie {
	w.t.Helper()
	p.says(claims)
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: patience, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "127.0.0.1:1" { // the pages of the application
			return http.ErrUseLastResponse
		}
		return nil
	}}
	var flow struct {
		UI struct {
			Action string
			Nodes  []struct {
				Attributes struct {
					Name  string
					Value any
				}
			}
		}
	}
	w.browse(browser, http.MethodGet, w.kratos.PublicURL+"/self-service/login/browser", nil, &flow)
	form := map[string]any{"method": "oidc", "provider": "corp"}
	for _, n := range flow.UI.Nodes {
		if n.Attributes.Name == "csrf_token" {
			form["csrf_token"] = n.Attributes.Value
		}
	}
	var to struct {
		At string `json:"redirect_browser_to"`
	}
	w.browse(browser, http.MethodPost, flow.UI.Action, form, &to)
	w.browse(browser, http.MethodGet, to.At, nil, nil)
	public, err := url.Parse(w.kratos.PublicURL)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range jar.Cookies(public) {
		if c.Name == "ory_kratos_session" {
			return c
		}
	}
	return nil
}

func (w *world) browse(browser *http.Client, method, at string, form map[string]any, out any) {
	w.t.Helper()
	body, err := json.Marshal(form)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, at, strings.NewReader(string(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	if out != nil {
		r.Header.Set("Accept", "application/json")
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if out == nil {
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		w.t.Fatal(fmt.Errorf("%s %s: %d: %w", method, at, resp.StatusCode, err))
	}
}

// whoamiBy asks Kratos about a browser's session.
func (w *world) whoamiBy(cookie *http.Cookie) (status int, identity string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.kratos.PublicURL+"/sessions/whoami", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.AddCookie(cookie)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("X-Kratos-Authenticated-Identity-Id")
}
