package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/reconcile"
)

// listing serves what smallKratos does not: all identities, on one page.
func (k *smallKratos) listing(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/admin/identities" || k.down {
		k.ServeHTTP(w, r)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	page := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(k.identities)) {
		page = append(page, k.identities[id])
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Link", `</admin/identities?page_token=0>; rel="first"`)
	_ = json.NewEncoder(w).Encode(page)
}

func TestReconcile(t *testing.T) {
	c := installCommands(t)
	whole := httptest.NewServer(http.HandlerFunc(c.ory.listing))
	t.Cleanup(whole.Close)
	c.env["SYMBOLON_ORY_ADMIN_URL"] = whole.URL
	for n := range 3 {
		c.ory.add(n + 1)
	}
	odd, _ := c.ory.add(4)
	c.ory.set(odd, "metadata_public", map[string]any{"id": "legacy"})
	for _, test := range []struct {
		args []string
		code int
		says []string // on either
	}{
		{[]string{"--only", "telepathy"}, 2, []string{"no kind of difference", "unlinked_identity"}},
		{nil, 3, []string{"left unlinked_identity", "a repair finds its user or makes one", "4 differences are left", odd}},
		{[]string{"--json"}, 3, []string{`"kind":"unlinked_identity"`, `"left":{"unlinked_identity":4}`}},
		{[]string{"--repair", "--only", "stale_columns"}, 0, []string{"identities"}},
		{[]string{"--repair"}, 3, []string{"mended unlinked_identity", "left foreign_back_reference", "an operator settles it"}},
		{[]string{"--repair", "--only", "unlinked_identity,stale_columns"}, 0, []string{"linked"}},
		{[]string{"--json", "--repair"}, 3, []string{`"mended":{}`, `"linked":4`, `"complete":true`}},
	} {
		code, out, errs := runIn(t, c.env, append([]string{"reconcile"}, test.args...)...)
		if code != test.code {
			t.Errorf("%v: exit %d, want %d\n%s%s", test.args, code, test.code, out, errs)
		}
		for _, part := range test.says {
			if !strings.Contains(out+errs, part) {
				t.Errorf("%v does not say %q:\n%s%s", test.args, part, out, errs)
			}
		}
		if strings.Contains(out+errs, "cAnArY") {
			t.Errorf("%v shows what it must not:\n%s%s", test.args, out, errs)
		}
	}
	c.ory.down = true
	if code, out, errs := runIn(t, c.env, "reconcile", "--repair"); code != 1 || !strings.Contains(errs, "run it again") || !strings.Contains(out, "NOT all") {
		t.Errorf("Ory is down: %d\n%s%s", code, out, errs)
	}
	delete(c.env, "SYMBOLON_ORY_ADMIN_URL")
	if code, _, errs := runIn(t, c.env, "reconcile"); code != 2 || !strings.Contains(errs, "SYMBOLON_ORY_ADMIN_URL") {
		t.Errorf("no admin URL: %d %s", code, errs)
	}
}

// TestProgressLine: one line that changes for a human, few lines for a log.
func TestProgressLine(t *testing.T) {
	var plainly, live strings.Builder
	for _, p := range []*progressLine{{out: &plainly}, {out: &live, live: true}} {
		for n := range 25 {
			p.show(reconcile.Progress{Phase: reconcile.Looking, Identities: n * 1000, Rate: 1000, Left: 90 * time.Second, Elapsed: time.Duration(n) * time.Second})
		}
		p.show(reconcile.Progress{Phase: reconcile.Mending, Identities: 1, Elapsed: time.Second, Share: 1})
		p.end()
	}
	if got := plainly.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "looking: 10000 identities, 1000/s, 0 differences, 0 mended, about 1m30s left") {
		t.Errorf("%q", got)
	}
	if got := live.String(); strings.Contains(got, "\n") || !strings.HasSuffix(got, "\x1b[K") {
		t.Errorf("%q", got)
	}
}
