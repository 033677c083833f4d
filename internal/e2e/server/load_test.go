package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/hooks"
)

// begin begins the crowd's load, sign-ups that fail after the reserve hook, and sessions that
// are revoked at Ory.
func (b *battered) begin(ctx context.Context) {
	b.crowd.begin(ctx, b.t)
	key := hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret(cmdtest.Secret)}).Reserve[0]
	b.load.Go(func() {
		for ctx.Err() == nil {
			b.reserve(ctx, key)
			time.Sleep(200 * time.Millisecond)
		}
	})
	b.load.Go(func() {
		var ended []revoked
		for ctx.Err() == nil {
			ended = b.checkRevoked(ctx, b.revoke(ctx, ended))
			time.Sleep(500 * time.Millisecond)
		}
	})
}

// reserve calls the reserve hook for a sign-up that fails afterwards.
func (b *battered) reserve(ctx context.Context, key string) {
	status, _, body := b.ask(ctx, "POST", b.server().publicURL+"/hooks/reserve", `{"metadata_public":{}}`, hooks.KeyHeader, key)
	var answer struct {
		Identity struct {
			MetadataPublic struct{ ID string } `json:"metadata_public"`
		}
	}
	if id := &answer.Identity.MetadataPublic.ID; status == 200 && json.Unmarshal(body, &answer) == nil && *id != "" {
		b.reserved = append(b.reserved, *id)
	}
}

// revoked is a session that was revoked at Ory, which told nobody.
type revoked struct {
	token string
	at    time.Time
}

// staleness is how long a revoked session may be let in: auth.max_stale.
const staleness = 10 * time.Second

// revoke signs a person in once more, uses the session, and revokes it at Ory.
func (b *battered) revoke(ctx context.Context, ended []revoked) []revoked {
	m := b.pick(func(m *member) bool { return !m.asked && !m.deleted })
	if m == nil {
		return ended
	}
	person, err := b.w.kratos.Login(context.WithoutCancel(ctx), m.Email, cmdtest.Password)
	if err != nil {
		return ended // the person was erased meanwhile
	}
	for range 2 {
		b.ask(ctx, "GET", b.server().publicURL+"/auth", "", "X-Session-Token", person.Token)
	}
	if err := b.w.kratos.Logout(context.WithoutCancel(ctx), person.Token); err != nil {
		return ended
	}
	return append(ended, revoked{token: person.Token, at: time.Now()})
}

// checkRevoked asks with each session that was revoked long enough ago, and returns the others.
func (b *battered) checkRevoked(ctx context.Context, ended []revoked) (left []revoked) {
	for _, r := range ended {
		if time.Since(r.at) < staleness {
			left = append(left, r)
			continue
		}
		since := time.Since(r.at)
		status, user, _ := b.ask(ctx, "GET", b.server().publicURL+"/auth", "", "X-Session-Token", r.token)
		b.mu.Lock()
		b.acks["revoked sessions"]++
		if status == 200 {
			b.wrong = append(b.wrong, fmt.Sprintf("a session was revoked %v ago, and is let in as user %s", since, user))
		}
		b.mu.Unlock()
	}
	return left
}
