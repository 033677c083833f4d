package chaos

import (
	"database/sql"
	"testing"
)

// ReadOnly makes all new transactions of new connections to the database of db read-only, as
// if it had become a standby. repair makes it writable again.
func ReadOnly(t testing.TB, db *sql.DB) (repair func()) {
	t.Helper()
	set(t, db, "on")
	return func() { set(t, db, "off") }
}

func set(t testing.TB, db *sql.DB, value string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var name string
	if err := conn.QueryRowContext(t.Context(), `select quote_ident(current_database())`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`set transaction_read_only = off`, `alter database ` + name + ` set default_transaction_read_only = ` + value} {
		if _, err := conn.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// Demote makes n connections of a pool read-only, as if their server had become a standby.
// New connections can write.
func Demote(t testing.TB, db *sql.DB, n int) {
	t.Helper()
	for range n {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }() // all at once, back into the pool
		if _, err := conn.ExecContext(t.Context(), `set session characteristics as transaction read only`); err != nil {
			t.Fatal(err)
		}
	}
}
