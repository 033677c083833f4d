package cmdtest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Kratos says of identities and sessions what a test lets it say: enough of
// Kratos for what needs no real one.
type Kratos struct {
	*httptest.Server
	mu         sync.Mutex
	identities map[string]map[string]any
	sessions   map[string]string // token -> identity
	down       bool
	signedIn   time.Time // when everybody did last; zero: nobody ever
}

// StartKratos starts one that knows nobody.
func StartKratos(t *testing.T) *Kratos {
	k := &Kratos{identities: map[string]map[string]any{}, sessions: map[string]string{}}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k
}

// Add makes the n-th identity, with a session whose token it returns as well.
func (k *Kratos) Add(n int) (id, token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id = fmt.Sprintf("1d000000-0000-4000-8000-%012d", n)
	token = fmt.Sprintf("ory_st_cAnArY%026d", n)
	k.identities[id] = map[string]any{"id": id, "state": "active", "schema_id": "default", "created_at": "2025-01-02T03:04:05Z",
		"traits": map[string]any{"email": fmt.Sprintf("cAnArY%d@example.com", n)}, "metadata_public": nil}
	k.sessions[token] = id
	return id, token
}

// Set changes a field of an identity; without a key and a value it deletes the identity.
func (k *Kratos) Set(id, key string, value any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if value == nil && key == "" {
		delete(k.identities, id)
		return
	}
	k.identities[id][key] = value
}

// SetDown lets it fail, or work again. The server asks it whenever it likes.
func (k *Kratos) SetDown(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
}

// SignOut ends a session.
func (k *Kratos) SignOut(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sessions, token)
}

// SignIn is when everybody signed in last.
func (k *Kratos) SignIn(at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.signedIn = at
}

// Has reports whether there is such an identity.
func (k *Kratos) Has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.identities[id] != nil
}

// ServeHTTP answers as Kratos' two APIs do.
func (k *Kratos) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, isIdentity := strings.CutPrefix(r.URL.Path, "/admin/identities/")
	status, body := 404, map[string]any{"error": map[string]any{"code": 404, "status": "Not Found", "message": "Unable to locate the resource"}}
	switch {
	case k.down:
		status, body = 500, nil
	case r.URL.Path == "/sessions/whoami":
		status, body = k.whoami(r)
	case r.Method == http.MethodDelete:
		if k.revoke(r.URL.Path) {
			w.WriteHeader(204)
			return
		}
	case strings.HasSuffix(r.URL.Path, "/health/ready"):
		status, body = 200, map[string]any{"status": "ok"}
	case isIdentity && k.identities[id] != nil:
		status, body = 200, k.identities[id]
	case r.URL.Path == "/admin/identities":
		k.list(w, r.URL.Query().Get("page_token"))
		return
	case strings.HasSuffix(r.URL.Path, "/sessions") && !k.signedIn.IsZero():
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode([]map[string]any{{"id": "5e000000-0000-4000-8000-000000000000", "active": true,
			"expires_at": k.signedIn.Add(time.Hour), "authenticated_at": k.signedIn, "authenticator_assurance_level": "aal1"}})
		return
	case strings.HasSuffix(r.URL.Path, "/sessions"):
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "[]")
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// list answers with all identities behind one, on one page.
func (k *Kratos) list(w http.ResponseWriter, after string) {
	page := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(k.identities)) {
		if id > after {
			page = append(page, k.identities[id])
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Link", `</admin/identities?page_token=00000000-0000-0000-0000-000000000000>; rel="first"`)
	_ = json.NewEncoder(w).Encode(page)
}

// revoke ends one session, or all of an identity's.
func (k *Kratos) revoke(path string) (found bool) {
	for token, id := range k.sessions {
		if path == "/admin/sessions/5e"+id[2:] || path == "/admin/identities/"+id+"/sessions" {
			delete(k.sessions, token)
			found = true
		}
	}
	return found
}

func (k *Kratos) whoami(r *http.Request) (int, map[string]any) {
	id := k.sessions[r.Header.Get("X-Session-Token")]
	if id == "" {
		return 401, map[string]any{"error": map[string]any{"code": 401, "status": "Unauthorized", "message": "No valid session credentials found in the request."}}
	}
	now := time.Now().UTC()
	return 200, map[string]any{"id": "5e" + id[2:], "active": true, "expires_at": now.Add(time.Hour), "authenticated_at": now.Add(-time.Minute),
		"authenticator_assurance_level": "aal1", "identity": k.identities[id]}
}
