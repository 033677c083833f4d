package sqlstore_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// lobby is an application whose users are invited.
type lobby struct {
	*people
	store  *sqlstore.Store
	linker *link.Linker
}

func openLobby(t *testing.T, db database) *lobby {
	t.Helper()
	p := denying(t, db, "suspended boolean", map[string]string{"user_suspended": "suspended"})
	store := p.store(p.DB)
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &lobby{p, store, inviter(store, "")}
}

func inviter(store symbolon.Store, project string) *link.Linker {
	return &link.Linker{Ory: noOry, Store: store, Project: project, Log: slog.New(slog.DiscardHandler), Secrets: []symbolon.Secret{drawSecret}}
}

// invite makes an invite for a user.
func (l *lobby) invite(t *testing.T, user symbolon.UserID) string {
	t.Helper()
	invite, err := l.linker.Invite(t.Context(), user, 0)
	if err != nil || invite.User != user || time.Until(invite.Expires) > time.Hour {
		t.Fatalf("%+v %v", invite, err)
	}
	return invite.Text
}

// signUp stores an identity as Ory does after the reserve hook.
func (l *lobby) signUp(t *testing.T, invite string) symbolon.Identity {
	t.Helper()
	id := identityWith(`{}`)
	r, err := l.linker.ReserveInvited(t.Context(), id, invite)
	if err != nil {
		t.Fatal(err)
	}
	metadata := map[string]string{"id": string(r.User)}
	if r.User == "" {
		delete(metadata, "id")
	}
	if r.Invited != "" {
		metadata[mint.InvitedKey("id")] = r.Invited
	}
	id.MetadataPublic, err = json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	id.CreatedAt = time.Now()
	return id
}

func (l *lobby) link(t *testing.T, id symbolon.Identity) symbolon.UserID {
	t.Helper()
	bond, err := l.linker.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.linker.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromReconcile})
	if err != nil || again.User != bond.User {
		t.Errorf("first %+v, then %+v %v", bond, again, err)
	}
	return bond.User
}

// TestInvitedUsers signs people up with invites that are valid, void and false, and changes the
// user before the sign-up, or between the sign-up and the link. A person gets the user of a
// valid invite, and in every other case a user of their own.
func TestInvitedUsers(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		l := openLobby(t, db)
		minter := mint.NewMinter("default", drawSecret)
		bound := symbolon.IdentityID(newUUID())
		nothing := func(symbolon.UserID) {}
		bind := func(u symbolon.UserID) { l.setIdentity(t, u, symbolon.IdentityID(newUUID())) }
		linked := func(u symbolon.UserID) {
			other := identityWith(`{}`)
			l.setIdentity(t, u, other.ID)
			l.link(t, other)
		}
		remove := func(u symbolon.UserID) {
			l.must(t, l.sql(`delete from {users} where cast({id} as text) = $1`), string(u))
		}
		suspend := func(u symbolon.UserID) {
			l.must(t, l.sql(`update {users} set suspended = true where cast({id} as text) = $1`), string(u))
		}
		erase := func(u symbolon.UserID) {
			if err := l.store.ForgetUser(t.Context(), "default", u); err != nil {
				t.Fatal(err)
			}
		}
		text := func(s string, err error) string {
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		void := string(decide.InviteVoid)
		for _, tt := range []struct {
			name     string
			invite   func(symbolon.UserID) string // nil: a valid one
			before   func(symbolon.UserID)
			between  func(symbolon.UserID)
			got      bool // the user of the invite
			findings string
		}{
			{name: "valid", got: true},
			{name: "expired", invite: func(u symbolon.UserID) string { return text(minter.Invite(u, time.Now().Add(-time.Second))) }, findings: void},
			{name: "bound before", before: bind, findings: void},
			{name: "bound between", between: bind, findings: void},
			{name: "linked before", before: linked, findings: void},
			{name: "linked between", between: linked, findings: void},
			{name: "deleted before", before: remove, findings: void},
			{name: "deleted between", between: remove, findings: void},
			{name: "suspended before", before: suspend, findings: void},
			{name: "suspended between", between: suspend, findings: void},
			{name: "erased before", before: erase, findings: void},
			{name: "erased between", between: erase, findings: void},
			{name: "forged", invite: func(u symbolon.UserID) string {
				return text(mint.NewMinter("default", symbolon.Secret("another-secret-of-32-bytes-xxxxx")).Invite(u, time.Now().Add(time.Hour)))
			}},
			{name: "of another project", invite: func(u symbolon.UserID) string {
				return text(mint.NewMinter("other", drawSecret).Invite(u, time.Now().Add(time.Hour)))
			}},
			{name: "the proof of one", invite: func(u symbolon.UserID) string { return text(minter.Invited(mint.Invitation{User: u, At: time.Now()})) }},
			{name: "a reserved proof", invite: func(u symbolon.UserID) string { return text(minter.Reserve(u)) }},
			{name: "a voucher", invite: func(u symbolon.UserID) string {
				v, err := minter.Voucher(u)
				return text(v.Proof, err)
			}},
			{name: "the user's ID", invite: func(u symbolon.UserID) string { return string(u) }},
		} {
			user := l.insertUser(t, "")
			var invite string
			if tt.invite != nil {
				invite = tt.invite(user)
			} else {
				invite = l.invite(t, user)
			}
			if tt.before == nil {
				tt.before = nothing
			}
			if tt.between == nil {
				tt.between = nothing
			}
			tt.before(user)
			person := l.signUp(t, invite)
			tt.between(user)
			if got := l.link(t, person); (got == user) != tt.got {
				t.Errorf("%s: user %s, invited was %s", tt.name, got, user)
			}
			r, err := l.linker.Record(t.Context(), string(person.ID))
			if err != nil || r.Link.State != symbolon.Linked {
				t.Fatalf("%s: %+v %v", tt.name, r.Link, err)
			}
			findings := ""
			for _, f := range r.Findings {
				findings += string(f.Kind)
			}
			if findings != tt.findings {
				t.Errorf("%s: findings %q, want %q", tt.name, findings, tt.findings)
			}
			if _, err := l.linker.Invite(t.Context(), user, 0); tt.got && !errors.Is(err, symbolon.ErrConflict) {
				t.Errorf("%s: invited again: %v", tt.name, err)
			}
		}
		user := l.insertUser(t, "")
		person := l.signUp(t, l.invite(t, user))
		person.ID, person.CreatedAt = bound, person.CreatedAt.Add(time.Hour) // a copy of the metadata
		if got := l.link(t, person); got == user {
			t.Error("a copy of the proof has the user")
		}
	})
}

// TestInviteIsRaced signs eight people up with one invite at once, and links them at once. One
// of them has the user, the others have users of their own. A ninth comes later.
func TestInviteIsRaced(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		l := openLobby(t, db)
		user := l.insertUser(t, "")
		invite := l.invite(t, user)
		var people [8]symbolon.Identity
		for n := range people {
			people[n] = l.signUp(t, invite)
		}
		var users [len(people)]symbolon.UserID
		var all sync.WaitGroup
		for n, id := range people {
			all.Go(func() { users[n] = l.link(t, id) })
		}
		all.Wait()
		seen := map[symbolon.UserID]symbolon.IdentityID{}
		for n, u := range users {
			seen[u] = people[n].ID
			want := string(decide.InviteVoid)
			if u == user {
				want = ""
			}
			r, err := l.linker.Record(t.Context(), string(people[n].ID))
			if err != nil || len(r.Findings) != min(len(want), 1) || want != "" && string(r.Findings[0].Kind) != want {
				t.Errorf("user %s: %+v %v", u, r.Findings, err)
			}
			for _, e := range r.Events {
				if e.Kind == symbolon.ClaimRefused {
					t.Error("a lost race counts as a refused claim")
				}
			}
		}
		if len(seen) != len(people) || seen[user] == "" {
			t.Errorf("%d users for %d people, the invited user has %q", len(seen), len(people), seen[user])
		}
		late := l.signUp(t, invite)
		if got := l.link(t, late); got == user || string(late.MetadataPublic) == "" {
			t.Errorf("the ninth has user %s", got)
		}
		wantHistory(t, l.linker, late.ID, string(decide.InviteVoid), "user.linked finding.opened")
		if n := l.count(t, l.sql(`select count(*) from {users}`)); n != len(people)+1 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestWhoCanBeInvited checks the errors of Linker.Invite.
func TestWhoCanBeInvited(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		l := openLobby(t, db)
		free, suspended, retired := l.insertUser(t, ""), l.insertUser(t, ""), l.insertUser(t, "")
		bound := l.insertUser(t, symbolon.IdentityID(newUUID()))
		l.must(t, l.sql(`update {users} set suspended = true where cast({id} as text) = $1`), string(suspended))
		if err := l.store.ForgetUser(t.Context(), "default", retired); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			user symbolon.UserID
			life time.Duration
			want error
		}{
			{free, 0, nil}, {free, time.Second, nil}, {free, link.MaxInviteLife, nil},
			{free, -time.Hour, link.ErrInviteLife}, {free, time.Millisecond, link.ErrInviteLife}, {free, link.MaxInviteLife + 1, link.ErrInviteLife},
			{symbolon.UserID(newUUID()), 0, symbolon.ErrNotFound}, {"", 0, symbolon.ErrNotFound}, {"no key\x00", 0, symbolon.ErrNotFound},
			{bound, 0, symbolon.ErrConflict}, {suspended, 0, symbolon.ErrConflict}, {retired, 0, symbolon.ErrConflict},
		} {
			if _, err := l.linker.Invite(t.Context(), tt.user, tt.life); !errors.Is(err, tt.want) {
				t.Errorf("%q for %s: %v, want %v", tt.user, tt.life, err, tt.want)
			}
		}
		if _, err := (&link.Linker{Ory: noOry, Store: l.store}).Invite(t.Context(), free, 0); err == nil {
			t.Error("a linker without a secret made an invite")
		}
	})
}
