package doctor_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestNetwork tests behaviour of Ory Network and of newer Kratos, with the fake.
func TestNetwork(t *testing.T) {
	ctx := t.Context()
	people := func(o *fakeory.Ory, n int) {
		for i := range n {
			if _, err := o.CreateIdentity(ctx, map[string]any{"schema_id": "default", "traits": map[string]any{"email": fmt.Sprintf("p%d@example.org", i)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	newer := fakeory.Start(t, fakeory.Config{Generation: fakeory.V26})
	people(newer, 501)
	older := fakeory.Start(t, fakeory.Config{Generation: fakeory.V1})
	people(older, 1001)
	small := fakeory.Start(t, fakeory.Config{Network: true, Limits: fakeory.Limits{fakeory.PublicHigh: {PerMinute: 60}, fakeory.AdminMedium: {PerMinute: 90}}})
	for i := range 12 {
		if _, err := small.Register(ctx, fmt.Sprintf("r%d@example.org", i), "a-long-Enough-passw0rd", "R"); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name     string
		ory      *fakeory.Ory
		admin    string
		stale    time.Duration
		sessions int
		want     map[string]doctor.Verdict
		check    string
		says     string
	}{
		{name: "no cap", ory: older, check: "ory.page_cap", says: "not capped"},
		{name: "the cap of v25.4 and newer", ory: newer, check: "ory.page_cap", says: "caps a page at 500"},
		{name: "a smaller cap", ory: newer, admin: capped(t, newer.AdminURL, 100), want: wrong("ory.page_cap"), check: "ory.page_cap", says: "only 100"},
		{name: "plan too small", ory: small, want: wrong("ory.rate_plan"), check: "ory.rate_plan", says: "12 active sessions × 80 / 10 s = 96; the plan allows 60"},
		{name: "plan large enough", ory: small, stale: 20 * time.Second, check: "ory.rate_plan", says: "= 48; the plan allows 60"},
		{name: "fewer sessions at once", ory: small, sessions: 5, check: "ory.rate_plan", says: "5 sessions in use × 80"},
		{name: "far more sessions at once", ory: small, sessions: 5000, want: wrong("ory.rate_plan"), check: "ory.rate_plan", says: "= 40000; the plan allows 60"},
		{name: "no limit", ory: newer, check: "ory.rate_plan", says: "no rate limit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := openMigrated(t, sqlstore.SQLite)
			d := tableDoctor(t, &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite}, test.ory)
			if test.admin != "" {
				d.Ory = &ory.Client{PublicURL: test.ory.PublicURL, AdminURL: test.admin}
				t.Cleanup(d.Ory.CloseIdleConnections)
			}
			d.MaxStale, d.Sessions = test.stale, test.sessions
			got := examine(t, d)
			expect(t, got, test.want)
			if r := got[test.check]; !strings.Contains(r.Is, test.says) {
				t.Errorf("the result lacks %q: %+v", test.says, r)
			}
		})
	}
}

// capped is a proxy whose pages are smaller than requested.
func capped(t *testing.T, admin string, size int) string {
	return proxy(t, func(r *http.Request) string {
		q := r.URL.Query()
		if n, err := strconv.Atoi(q.Get("page_size")); err == nil && n > size {
			q.Set("page_size", strconv.Itoa(size))
			r.URL.RawQuery = q.Encode()
		}
		return admin
	}, nil)
}
