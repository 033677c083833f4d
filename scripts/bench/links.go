package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// linked has the nanoseconds per link for each slice of the missing links, by LinkAll and
// by a bare insert of the same rows.
type linked struct{ ours, bare []float64 }

// The two ways alternate in slices of this many links, so that a disturbance slows both.
const (
	slice = 5000
	rows  = 500 // per statement and per transaction
)

// links makes all missing links in two databases of a kind, in turns.
func (b *reconcileBench) links(ctx context.Context, dialect sqlstore.Dialect) (out linked, err error) {
	var stores [2]*sqlstore.Store
	for i := range stores {
		if stores[i], _, err = b.newDatabase(ctx, dialect); err != nil {
			return out, err
		}
		defer stores[i].DB.Close()
	}
	bare, err := prepareBare(ctx, stores[1])
	if err != nil {
		return out, err
	}
	linker := newLinker(stores[0], "http://127.0.0.1:1")
	for from := 0; from < b.n; from += slice {
		seen := newSeen(from, min(slice, b.n-from))
		values := bareRows(seen)
		began := time.Now()
		if err := linkSlice(ctx, linker, seen); err != nil {
			return out, err
		}
		out.ours = append(out.ours, float64(time.Since(began))/float64(len(seen)))
		began = time.Now()
		if err := bare.insert(ctx, values); err != nil {
			return out, err
		}
		out.bare = append(out.bare, float64(time.Since(began))/float64(len(seen)))
	}
	say("%s: %d missing links, %s each, bare %s", dialect, b.n, span(median(out.ours)), span(median(out.bare)))
	return out, sameCounts(ctx, stores, b.n)
}

func newSeen(from, n int) []symbolon.Reading {
	out := make([]symbolon.Reading, n)
	for i := range out {
		var b [16]byte
		_, _ = rand.Read(b[:])
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		out[i] = symbolon.Reading{Source: symbolon.FromReconcile, Admin: true, Ticket: 1, Identity: symbolon.Identity{
			ID:    symbolon.IdentityID(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])),
			State: symbolon.Active, SchemaID: "default", CreatedAt: time.Now().Add(-time.Hour),
			Traits:         fmt.Appendf(nil, `{"email":"person-%06d@example.org","name":"Person Number %d"}`, from+i, from+i),
			MetadataPublic: []byte("null"), MetadataAdmin: []byte("null")}}
	}
	slices.SortFunc(out, func(a, b symbolon.Reading) int { return strings.Compare(string(a.Identity.ID), string(b.Identity.ID)) })
	return out
}

func linkSlice(ctx context.Context, l *link.Linker, seen []symbolon.Reading) error {
	for some := range slices.Chunk(seen, rows) { // as reconcile passes them
		for _, r := range l.LinkAll(ctx, some) {
			if r.Err != nil {
				return r.Err
			}
		}
	}
	return nil
}

// bareInsert is the smallest program that inserts the same rows: prepared statements with
// many rows, and no checks.
type bareInsert struct {
	db    *sql.DB
	stmts []*sql.Stmt
}

func prepareBare(ctx context.Context, store *sqlstore.Store) (*bareInsert, error) {
	out := &bareInsert{db: store.DB}
	for _, table := range []struct {
		name    string
		columns []string
	}{
		{"symbolon_users", []string{"id", "ory_identity_id", "email", "name", "active"}},
		{ours(store, "links"), []string{"project", "identity_id", "user_id", "state", "way", "linked_at", "ticket", "digest"}},
		{ours(store, "events"), []string{"project", "at", "kind", "identity_id", "user_id", "way", "detail"}},
	} {
		text := fmt.Sprintf("insert into %s (%s) values %s", table.name, strings.Join(table.columns, ", "), placeholders(store.Dialect, len(table.columns)))
		stmt, err := store.DB.PrepareContext(ctx, text) //nolint:sqlclosecheck // closed with the database
		if err != nil {
			return nil, err
		}
		out.stmts = append(out.stmts, stmt)
	}
	return out, nil
}

// ours returns the name of one of Symbolon's own tables.
func ours(store *sqlstore.Store, table string) string {
	if store.Dialect == sqlstore.SQLite {
		return "symbolon_" + table
	}
	return "symbolon." + table
}

// placeholders returns the placeholders for all rows of a statement.
func placeholders(dialect sqlstore.Dialect, columns int) string {
	var all []string
	for row := range rows {
		marks := make([]string, columns)
		for column := range marks {
			marks[column] = "?" // SQLite's driver is slow with a thousand numbers
			if dialect == sqlstore.Postgres {
				marks[column] = fmt.Sprintf("$%d", row*columns+column+1)
			}
		}
		all = append(all, "("+strings.Join(marks, ", ")+")")
	}
	return strings.Join(all, ", ")
}

// bareRows returns the values of the three statements for each transaction.
func bareRows(seen []symbolon.Reading) (out [][3][]any) {
	minter := mint.NewMinter("bench")
	for some := range slices.Chunk(seen, rows) {
		var values [3][]any
		for _, s := range some {
			id, user, at := string(s.Identity.ID), string(minter.Mint(time.Now())), time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
			values[0] = append(values[0], user, id, "person-000000@example.org", "Person Number 000000", true)
			values[1] = append(values[1], "default", id, user, "linked", "reconcile", at, 1, "0123456789abcdef0123456789abcdef")
			values[2] = append(values[2], "default", at, "user.linked", id, user, "reconcile", "a new person")
		}
		out = append(out, values)
	}
	return out
}

func (b *bareInsert) insert(ctx context.Context, all [][3][]any) error {
	for _, values := range all {
		tx, err := b.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for i, stmt := range b.stmts {
			if _, err := tx.StmtContext(ctx, stmt).ExecContext(ctx, values[i]...); err != nil { //nolint:sqlclosecheck // closed with tx
				_ = tx.Rollback()
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// sameCounts checks the number of rows in both databases.
func sameCounts(ctx context.Context, stores [2]*sqlstore.Store, want int) error {
	for _, store := range stores {
		for _, table := range []string{"symbolon_users", ours(store, "links"), ours(store, "events")} {
			var n int
			if err := store.DB.QueryRowContext(ctx, `select count(*) from `+table).Scan(&n); err != nil { //nolint:gosec // fixed names
				return err
			}
			if n != want {
				return fmt.Errorf("%s: %d rows, not %d", table, n, want)
			}
		}
	}
	return nil
}
