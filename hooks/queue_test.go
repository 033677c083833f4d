package hooks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

// TestQueue checks that a hint that cannot be followed now gets 200 if it is queued, and
// 503 if not. Only at Ory's rate limit does the body make the user.
func TestQueue(t *testing.T) {
	const id = "0b5c1d3e-9f2a-4c6b-8e7d-1a2b3c4d5e6f"
	limited := fmt.Errorf("429: %w, %w", symbolon.ErrRateLimited, symbolon.ErrUnavailable)
	for _, tt := range []struct {
		name  string
		route string
		ory   error
		queue error
		none  bool // there is no queue
		db    bool // the database is down

		minted bool // the body has an ID that Symbolon minted

		status  int
		outcome string
		queued  symbolon.Source
		users   int
	}{
		{name: "link at the limit", route: "link", minted: true, ory: limited, status: 200, outcome: Queued, queued: symbolon.FromLinkHook, users: 1},
		{name: "link at the limit, not queued", route: "link", minted: true, ory: limited, queue: errors.New("full"), status: 503, outcome: Undetermined, users: 1},
		{name: "link at the limit, perhaps with a voucher", route: "link", ory: limited, status: 200, outcome: Queued, queued: symbolon.FromLinkHook},
		{name: "link at the limit, no queue", route: "link", ory: limited, none: true, status: 503, outcome: Undetermined},
		{name: "link at the limit, no database", route: "link", ory: limited, db: true, status: 200, outcome: Queued, queued: symbolon.FromLinkHook},
		{name: "link, Ory down", route: "link", ory: symbolon.ErrUnavailable, status: 200, outcome: Queued, queued: symbolon.FromLinkHook},
		{name: "link, Ory down, no queue", route: "link", ory: symbolon.ErrUnavailable, none: true, status: 503, outcome: Undetermined},
		{name: "link, identity gone", route: "link", ory: symbolon.ErrNotFound, status: 200, outcome: Gone},
		{name: "sync at the limit", route: "sync", ory: limited, status: 200, outcome: Queued, queued: symbolon.FromSyncHook},
		{name: "sync at the limit, not queued", route: "sync", ory: limited, queue: errors.New("full"), status: 503, outcome: Undetermined},
		{name: "sync, Ory down", route: "sync", ory: symbolon.ErrUnavailable, status: 200, outcome: Queued, queued: symbolon.FromSyncHook},
		{name: "sync, Ory hangs", route: "sync", ory: errHangs, status: 200, outcome: Queued, queued: symbolon.FromSyncHook},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, store := newHandler(&admin{err: tt.ory})
				store.down = tt.db
				if tt.db {
					h.Linker.Ory.(*admin).err = limited
				}
				var queued symbolon.Source
				var patient atomic.Bool
				if !tt.none {
					h.Queue = func(ctx context.Context, got symbolon.IdentityID, source symbolon.Source) error {
						if ctx.Err() != nil || got != id {
							t.Errorf("queued %s, %v", got, ctx.Err())
						}
						if tt.queue == nil {
							queued = source
						}
						return tt.queue
					}
				}
				h.Linker.Ory.(*admin).asked = func(ctx context.Context) {
					_, background := symbolon.PatienceFrom(ctx)
					patient.Store(background)
				}
				var outcome string
				h.Observe = func(_, o string) { outcome = o }
				reserved := ""
				if tt.minted {
					reserved = `"id":"` + string(h.Linker.Mint()) + `",`
				}
				keys := DeriveKeys(testSecrets)
				r := httptest.NewRequest("POST", "/hooks/"+tt.route, strings.NewReader(`{"identity_id":"`+id+`",`+reserved+`"columns":{"traits.email":"a@example.org"}}`))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set(KeyHeader, map[string]string{"link": keys.Link[0], "sync": keys.Sync[0]}[tt.route])
				w := httptest.NewRecorder()
				map[string]http.Handler{"link": h.Link(), "sync": h.Sync()}[tt.route].ServeHTTP(w, r)
				if w.Code != tt.status || outcome != tt.outcome || queued != tt.queued || len(store.users()) != tt.users {
					t.Errorf("%d %s, queued %q, %d users; want %d %s, %q, %d", w.Code, outcome, queued, len(store.users()), tt.status, tt.outcome, tt.queued, tt.users)
				}
				if !tt.db && patient.Load() == tt.none {
					t.Errorf("in the background: %v; there is a queue: %v", patient.Load(), !tt.none)
				}
				time.Sleep(time.Minute) // until an Ory that hangs gives up
			})
		})
	}
}
