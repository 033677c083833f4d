package server

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/strictjson"
	"github.com/symbolon-id/symbolon/reconcile"
)

// FuzzParseBind checks that an accepted request has an identity ID and a user ID that can
// be keys.
func FuzzParseBind(f *testing.F) {
	const id = "1d000000-0000-4000-8000-000000000001"
	f.Add([]byte(`{"identity_id":"` + id + `","user_id":"42","move":true,"why":"x"}`))
	f.Add([]byte(`{"identity_id":"` + id + `","user_id":"a","User_ID":"b"}`))
	f.Add([]byte(`{"identity_id":"` + id + `","user_id":"\ud800"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := parseBind(body)
		if err != nil {
			return
		}
		if strictjson.Check(body) != nil || len(b.identity) != 36 || b.user == "" || len(b.user) > 255 || strings.ContainsAny(string(b.user)+b.why, "\x00\n\r\x1b") {
			t.Errorf("%q was taken: %+v", body, b)
		}
	})
}

// FuzzFindingsQuery checks that every query is refused or returns a page of limited size,
// and that only our own cursors are accepted.
func FuzzFindingsQuery(f *testing.F) {
	secret := []symbolon.Secret{symbolon.Secret(cmdtest.Secret)}
	h := &findings{project: "default", cursors: newCursors(secret)}
	own := h.cursors.seal(h.bound(""), "1d000000-0000-4000-8000-000000000001", "user_gone")
	for _, seed := range []string{"", "limit=1", "kind=user_gone&limit=7", "after=" + own, "after=" + own + "&kind=moved", "limit=1&limit=2", "%zz", "a;b", "after=AAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := h.query(raw)
		if err != nil {
			return
		}
		if q.Project != "default" || q.Limit < 1 || q.Limit > maxFindingsPage || q.Kind != "" && !slices.Contains(reconcile.Kinds(), q.Kind) {
			t.Errorf("%q: %+v", raw, q)
		}
		if values, err := url.ParseQuery(raw); err != nil || q.After != "" && values.Get("after") != own {
			t.Errorf("%q continues after %s, which is not its own cursor", raw, q.After)
		}
	})
}
