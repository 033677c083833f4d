package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
)

// tap passes Ory's hooks on to Symbolon, remembers them, and can lose some. Keys pass through and are not kept.
type tap struct {
	target string     // Symbolon's public URL
	heard  func(hook) // told of every hook, once it is answered or lost

	// hold is called before a link hook is passed on, and may take its time. The order in which hooks, requests and runs of reconcile
	// come is then another.
	hold func(context.Context, hook)

	mu    sync.Mutex
	hooks []hook
	lose  string        // the hook that does not arrive
	more  chan struct{} // closed when another hook was seen
}

// hook is one call of Ory's and Symbolon's answer to it.
type hook struct {
	name     string // reserve, link or sync
	identity string // whose; reserve comes before there is one
	minted   string // the user's ID that reserve answered with
	status   int    // HTTP; 0: no answer
	answer   string // what link and sync answered: done, denied, …
	lost     bool
}

func newTap(target string, heard func(hook)) *tap {
	return &tap{target: target, heard: heard, hold: func(context.Context, hook) {}, more: make(chan struct{})}
}

func (t *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	h := hook{name: path.Base(r.URL.Path), identity: textAt(body, "identity_id")}
	t.mu.Lock()
	h.lost = t.lose == h.name
	t.mu.Unlock()
	if h.lost {
		t.remember(h)
		panic(http.ErrAbortHandler) // the line is cut
	}
	if h.name == "link" {
		t.hold(r.Context(), h)
	}
	answer, err := t.pass(r, body, &h)
	if err != nil {
		t.remember(h)
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(h.status)
	_, _ = w.Write(answer) //nolint:gosec // JSON, and said so
	t.remember(h)
}

func (t *tap) pass(r *http.Request, body []byte, h *hook) ([]byte, error) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, t.target+r.URL.Path, bytes.NewReader(body)) //nolint:gosec // to Symbolon, whatever the path
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
	close(t.more)
	t.more = make(chan struct{})
	t.mu.Unlock()
	t.heard(h)
}

// losing makes every hook of a name get lost until it is called with another.
func (t *tap) losing(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lose = name
}

// wait returns the next hook that is wanted, beginning with the one after the first `after`.
func (t *tap) wait(ctx context.Context, what string, after int, wanted func(hook) bool) (hook, error) {
	for {
		t.mu.Lock()
		for ; after < len(t.hooks); after++ {
			if h := t.hooks[after]; wanted(h) {
				t.mu.Unlock()
				return h, nil
			}
		}
		more := t.more
		t.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return hook{}, fmt.Errorf("%s did not come: %w", what, ctx.Err())
		}
	}
}

func (t *tap) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.hooks)
}

// textAt is the text at a path in a JSON document, or nothing.
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
