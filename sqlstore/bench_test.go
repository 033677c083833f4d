package sqlstore_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// BenchmarkLink compares a link with a bare insert of the same three rows (user, ledger
// entry, event) in one transaction without checks. Both databases are durable as in
// production.
//
//	go test ./sqlstore -run xxx -bench . -benchtime 2s
func BenchmarkLink(b *testing.B) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		db := openDurable(b, dialect)
		store := &sqlstore.Store{DB: db.DB, Dialect: dialect}
		minter := mint.NewMinter("bench")
		bare := bareInsert(b, db)
		link := func() error {
			_, err := linkNew(store, symbolon.UserID(newUUID()))
			return err
		}
		reserved := func() error { // as the link hook does: look, then write
			id := identityWith(`{"email":"ada@example.com","name":"Ada"}`)
			user := minter.Mint(time.Now())
			q := symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: id}, Claims: []symbolon.UserID{user}}
			if _, err := store.Read(context.Background(), q); err != nil {
				return err
			}
			_, err := store.Write(context.Background(), q, func(symbolon.Evidence) (symbolon.Plan, error) {
				return symbolon.Plan{Action: symbolon.Create, User: user, Why: "the ID was reserved for it"}, nil
			})
			return err
		}
		for _, bench := range []struct {
			name string
			f    func() error
		}{{"bare", bare}, {"write", link}, {"look+write", reserved}} {
			b.Run(string(dialect)+"/"+bench.name+"/one", func(b *testing.B) {
				for b.Loop() {
					if err := bench.f(); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(string(dialect)+"/"+bench.name+"/parallel", func(b *testing.B) {
				b.SetParallelism(8) // 16 goroutines on two cores
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := bench.f(); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// BenchmarkLook measures the look-up for a request whose session is not cached.
func BenchmarkLook(b *testing.B) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		db := openDurable(b, dialect)
		store := &sqlstore.Store{DB: db.DB, Dialect: dialect}
		link, err := linkNew(store, symbolon.UserID(newUUID()))
		if err != nil {
			b.Fatal(err)
		}
		for range 1000 {
			if _, err := linkNew(store, symbolon.UserID(newUUID())); err != nil {
				b.Fatal(err)
			}
		}
		q := symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: symbolon.Identity{ID: link.Identity}}, Claims: []symbolon.UserID{link.User}}
		b.Run(string(dialect)+"/one", func(b *testing.B) {
			for b.Loop() {
				if h, err := store.Read(b.Context(), q); err != nil || h.User == nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(dialect)+"/parallel", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := store.Read(b.Context(), q); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func linkNew(store *sqlstore.Store, user symbolon.UserID) (symbolon.Link, error) {
	id := identityWith(`{"email":"ada@example.com","name":"Ada"}`)
	out, err := store.Write(context.Background(), symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: id}},
		func(symbolon.Evidence) (symbolon.Plan, error) {
			return symbolon.Plan{Action: symbolon.Create, User: user, Why: "a new person"}, nil
		})
	return out.Link, err
}

func openDurable(b *testing.B, dialect sqlstore.Dialect) database {
	if dialect == sqlstore.SQLite {
		return open(b, dialect)
	}
	db := database{dialect: dialect, dsn: symbolontest.PostgresConfig{Durable: true}.Start(b).NewDatabase(b)}
	db.DB = db.pool(b)
	db.migrate(b)
	return db
}

// bareInsert does what an application would write itself, with a plain pool and with
// prepared statements where they help.
func bareInsert(b *testing.B, db database) func() error {
	db.DB = db.again(b)
	prefix := "symbolon."
	if db.dialect == sqlstore.SQLite {
		prefix = "symbolon_"
	}
	texts := []string{
		`insert into symbolon_users (id, ory_identity_id, email, name, active) values ($1, $2, $3, $4, $5)`,
		`insert into ` + prefix + `links (project, identity_id, user_id, state, way, linked_at, digest) values ($1, $2, $3, 'linked', '', $4, $5)`,
		`insert into ` + prefix + `events (project, at, kind, identity_id, user_id, detail) values ($1, $2, 'user.linked', $3, $4, 'a new person')`,
	}
	var stmts []*sql.Stmt
	for _, text := range texts {
		stmt, err := db.Prepare(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = stmt.Close() })
		stmts = append(stmts, stmt)
	}
	ctx := context.Background()
	turn := make(chan struct{}, 1) // fair to the bare insert, which also waits in memory
	return func() error {
		if db.dialect == sqlstore.SQLite {
			turn <- struct{}{}
			defer func() { <-turn }()
		}
		id, user, at := newUUID(), newUUID(), time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		for i, args := range [][]any{
			{user, id, "ada@example.com", "Ada", true},
			{"default", id, user, at, "0123456789abcdef0123456789abcdef"},
			{"default", at, id, user},
		} {
			if _, err := tx.StmtContext(ctx, stmts[i]).ExecContext(ctx, args...); err != nil { //nolint:sqlclosecheck // closed with tx
				return err
			}
		}
		return tx.Commit()
	}
}
