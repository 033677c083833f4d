package sqlstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestColumnIsRetyped gives the key or the identity column another type while the store runs.
// Every connection has plans for the old type. Nobody gets "don't know", and no fault stays.
func TestColumnIsRetyped(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	for i, tt := range []struct{ name, table, retype string }{
		{"identity, text to uuid", `id uuid primary key, ory text unique` + oryWrites, `drop constraint {users}_ory_check, alter column ory type uuid using cast(ory as uuid)`},
		{"identity, uuid to text", `id uuid primary key, ory uuid unique`, `alter column ory type text, add` + oryWrites},
		{"key, uuid to text", `id uuid primary key, ory uuid unique`, `alter column id type text`},
		{"key, integer to bigint", `id serial primary key, ory uuid unique`, `alter column id type bigint`},
		{"key, integer to text", `id serial primary key, ory uuid unique`, `alter column id drop default, alter column id type text, alter column id set default gen_random_uuid()`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := create(t, db, "mail text", nil)
			p.must(t, p.sql(`drop table {users}; create table {users} (`+tt.table+`, mail text)`))
			p.users.Columns = map[string]string{"mail": "traits.mail"}
			if strings.HasPrefix(tt.table, "id serial") { // the ledger is the same in all cases
				p.must(t, p.sql(fmt.Sprintf(`alter sequence {users}_id_seq restart with %d`, 1+1000*i)))
				p.users.NewID = sqlstore.ByDatabase
			}
			store := p.store(db.again(t))
			l := linkerOf(store)
			known := make([]symbolon.Identity, 8)
			for i := range known {
				known[i] = identityWith(`{}`)
			}
			all := func(ids []symbolon.Identity) {
				var wg sync.WaitGroup
				for range 3 {
					for _, id := range ids {
						wg.Go(func() {
							ticket, err := store.Ticket(context.Background())
							if err == nil {
								_, err = l.Link(context.Background(), symbolon.Reading{Identity: id, Ticket: ticket})
							}
							if err != nil {
								t.Error(err)
							}
						})
					}
				}
				wg.Wait()
			}
			all(known)
			p.must(t, p.sql(`alter table {users} `+tt.retype))
			fresh := append([]symbolon.Identity{identityWith(`{}`), identityWith(`{}`)}, known...)
			all(fresh)
			for _, m := range l.LinkAll(t.Context(), []symbolon.Reading{{Identity: identityWith(`{}`)}, {Identity: known[0]}}) {
				if m.Err != nil {
					t.Error(m.Err)
				}
			}
			wantTableFaults(t, store)
		})
	}
}
