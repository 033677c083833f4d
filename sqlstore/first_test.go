package sqlstore_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

type noOry struct{}

func (noOry) HasAdmin() bool { return false }
func (noOry) Identity(context.Context, symbolon.IdentityID) (symbolon.Identity, error) {
	return symbolon.Identity{}, symbolon.ErrNoAdmin
}
func (noOry) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, symbolon.ErrNoAdmin
}

func TestFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		ctx := context.Background()
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		l := &symbolon.Linker{Ory: noOry{}, Store: store}
		seen := symbolon.Seen{Identity: symbolon.Identity{ID: "9f425a8d-7efc-4768-8f23-7647a74fdf13", State: symbolon.Active,
			Traits: json.RawMessage(`{"email":"ada@example.com","name":"Ada"}`), CreatedAt: time.Now()}, Way: symbolon.ByRequest}
		link, err := l.Link(ctx, seen)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", link)
		again, err := l.Link(ctx, seen)
		if err != nil || again != link {
			t.Fatal(err, again)
		}
		n, err := store.Ticket(ctx)
		if err != nil {
			t.Fatal(err)
		}
		seen.Ticket = n
		if link, err = l.Link(ctx, seen); err != nil {
			t.Fatal(err)
		}
		rec, err := l.Record(ctx, string(link.User))
		t.Logf("%+v %v", rec, err)
	})
}
