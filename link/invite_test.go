package link

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// mute is a store that does not answer Read.
type mute struct{ symbolon.Store }

func (mute) Read(ctx context.Context, _ symbolon.Query) (symbolon.Evidence, error) {
	<-ctx.Done()
	return symbolon.Evidence{}, ctx.Err()
}

// TestInviteWhileTheStoreIsSilent checks that a sign-up with an invite waits for the store for a
// second at most, and that the person has the invited user as soon as the store answers.
func TestInviteWhileTheStoreIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(symbolon.ByMint)
		store.start = symbolon.Start{CreatedAt: time.Now(), SettledAt: time.Now()}
		l := newTestLinker(&oryModel{}, store)
		user := l.Mint()
		store.rows[user] = ""
		invite, err := l.Invite(t.Context(), user, 0)
		if err != nil {
			t.Fatal(err)
		}
		silent := newTestLinker(&oryModel{}, mute{store})
		began := time.Now()
		r, err := silent.ReserveInvited(t.Context(), symbolon.Identity{}, invite.Text)
		if waited := time.Since(began); err != nil || r.User != "" || !r.Accepted || waited > time.Second {
			t.Fatalf("after %s: %+v %v", waited, r, err)
		}
		id := symbolon.Identity{ID: alice, State: symbolon.Active, CreatedAt: time.Now(), MetadataPublic: json.RawMessage(fmt.Sprintf(`{%q:%q}`, mint.InvitedKey("id"), r.Invited))}
		time.Sleep(48 * time.Hour) // nothing expires any more: the person signed up in time
		if bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest}); err != nil || bond.User != user {
			t.Errorf("%+v %v", bond, err)
		}
		if r, err := l.ReserveInvited(t.Context(), symbolon.Identity{}, invite.Text); err != nil || r.Accepted || r.User == user || r.Invited == "" {
			t.Errorf("after the invite expired: %+v %v", r, err)
		}
	})
}
