package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"slices"
	"sync"
)

// tap forwards Ory's hooks to Symbolon, records them, and can lose some. It does not
// store keys.
type tap struct {
	target string     // Symbolon's public URL
	heard  func(hook) // called for every hook after its answer or loss

	// hold, if set, is called before a link hook is forwarded, and may wait. So the order
	// of hooks, requests and reconcile runs changes.
	hold func(context.Context, hook)

	mu    sync.Mutex
	hooks []hook
	lose  string // the name of the hook to lose
}

// hook is one call by Ory and Symbolon's answer.
type hook struct {
	name     string // reserve, link or sync
	identity string // empty for reserve, because the identity does not exist yet
	minted   string // the user's ID in reserve's answer
	status   int    // HTTP status; 0: no answer
	answer   string // the answer of link and sync, for example done or denied
	lost     bool
}

func (t *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	h := hook{name: path.Base(r.URL.Path), identity: textAt(body, "identity_id")}
	h.lost = t.loses(h.name)
	var answer []byte
	if !h.lost {
		answer, err = t.pass(r, body, &h)
	}
	t.remember(h)
	if h.lost || err != nil {
		panic(http.ErrAbortHandler) // closes the connection
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(h.status)
	_, _ = w.Write(answer) //nolint:gosec // sent with the content type of JSON
}

func (t *tap) pass(r *http.Request, body []byte, h *hook) ([]byte, error) {
	if h.name == "link" && t.hold != nil {
		t.hold(r.Context(), *h)
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, t.target+r.URL.Path, bytes.NewReader(body)) //nolint:gosec // always to Symbolon
	if err != nil {
		return nil, err
	}
	req.Header = r.Header.Clone()
	res, err := http.DefaultClient.Do(req) //nolint:gosec // as above
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	h.status, h.answer, h.minted = res.StatusCode, textAt(answer, "status"), textAt(answer, "identity", "metadata_public", "id")
	return answer, nil
}

func (t *tap) remember(h hook) {
	t.mu.Lock()
	t.hooks = append(t.hooks, h)
	t.mu.Unlock()
	t.heard(h)
}

// losing makes the tap lose every hook of this name, until the next call.
func (t *tap) losing(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lose = name
}

func (t *tap) loses(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lose == name
}

// find returns a wanted hook. It ignores the first leaveOut hooks.
func (t *tap) find(leaveOut int, wanted func(hook) bool) (h hook, found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.IndexFunc(t.hooks[leaveOut:], wanted)
	if at < 0 {
		return hook{}, false
	}
	return t.hooks[leaveOut+at], true
}

func (t *tap) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.hooks)
}

// textAt returns the text at a path in a JSON document, or "".
func textAt(doc []byte, keys ...string) string {
	var v any
	if json.Unmarshal(doc, &v) != nil {
		return ""
	}
	for _, key := range keys {
		object, _ := v.(map[string]any)
		v = object[key]
	}
	text, _ := v.(string)
	return text
}
