package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
)

// outgoing is what the servers have sent to Ory's admin API.
type outgoing struct {
	wrong   []string        // requests that must not be sent
	written int             // back-references
	deleted map[string]bool // identities that the servers have deleted
}

// oneAdd is the only PATCH that a server may send.
var oneAdd = regexp.MustCompile(`^\[\{"op":"add","path":"/metadata_public/id","value":"[^"]*"\}\]$`)

// judge notes a request. A server may read, add a back-reference, revoke sessions and delete
// identities.
func (p *taps) judge(r *http.Request) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id, inIdentity := strings.CutPrefix(r.URL.Path, "/admin/identities/")
	switch {
	case r.Method == http.MethodGet && len(body) == 0, r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/admin/sessions/"):
	case r.Method == http.MethodDelete && inIdentity && strings.HasSuffix(id, "/sessions"):
	case r.Method == http.MethodDelete && inIdentity:
		p.outgoing.deleted[id] = true
	case r.Method == http.MethodPatch && inIdentity && oneAdd.Match(body):
		p.outgoing.written++
	default:
		p.outgoing.wrong = append(p.outgoing.wrong, fmt.Sprintf("%s %s %.200s", r.Method, r.URL.Path, body))
	}
}

// lie changes Ory's listing of identities: it returns the identities that are listed. The
// answer has status 200, and no page follows.
type lie func(page []json.RawMessage) []json.RawMessage

func nobody([]json.RawMessage) []json.RawMessage { return []json.RawMessage{} }

func half(page []json.RawMessage) []json.RawMessage { return page[:len(page)/2] }

// tell answers a listing by a lie.
func (l lie) tell(w http.ResponseWriter, r *http.Request, truth http.Handler) {
	r.Header.Del("Accept-Encoding")
	said := httptest.NewRecorder()
	truth.ServeHTTP(said, r)
	var page []json.RawMessage
	if said.Code != http.StatusOK || json.Unmarshal(said.Body.Bytes(), &page) != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l(page))
}
