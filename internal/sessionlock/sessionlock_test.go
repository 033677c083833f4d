package sessionlock_test

import (
	"context"
	"database/sql"
	"net/url"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/sessionlock"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

const id = 7

// connect returns a pool with one connection, and the connection.
func connect(t *testing.T, dsn string) (*sql.DB, *sql.Conn) {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return db, conn
}

// TestLock checks that one of two programs has the lock, and that it leaves nothing on its
// connection.
func TestLock(t *testing.T) {
	t.Parallel()
	dsn := symbolontest.SharedPostgres(t).NewDatabase(t)
	db, first := connect(t, dsn)
	_, second := connect(t, dsn)
	if err := sessionlock.Lock(t.Context(), first, id, time.Minute); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := sessionlock.Lock(short, second, id, time.Minute); err == nil {
		t.Error("two programs have the lock")
	}
	if err := sessionlock.Unlock(t.Context(), first, id); err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	var limit string
	if err := db.QueryRowContext(t.Context(), `show idle_session_timeout`).Scan(&limit); err != nil || limit != "0" {
		t.Errorf("the connection keeps the limit %s (%v)", limit, err)
	}
	_, third := connect(t, dsn)
	if err := sessionlock.Lock(t.Context(), third, id, time.Minute); err != nil {
		t.Error(err)
	}
}

// TestVanished has a holder that vanishes without closing its connection. Another program
// gets the lock.
func TestVanished(t *testing.T) {
	t.Parallel()
	dsn := symbolontest.SharedPostgres(t).NewDatabase(t)
	_, vanished := connect(t, dsn)
	_, other := connect(t, dsn)
	if err := sessionlock.Lock(t.Context(), vanished, id, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sessionlock.Lock(ctx, other, id, time.Minute); err != nil {
		t.Errorf("the holder has vanished, and the next program does not get the lock: %v", err)
	}
}

// TestUnlockInSilence has a database that falls silent before the lock is given back. The
// caller's context has no deadline. Unlock returns, and its pool drops the connection.
func TestUnlockInSilence(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(symbolontest.SharedPostgres(t).NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	relay := chaos.NewRelay(t, u.Host)
	u.Host = relay.Address
	db, conn := connect(t, u.String())
	if err := sessionlock.Lock(t.Context(), conn, id, time.Minute); err != nil {
		t.Fatal(err)
	}
	relay.FallSilent()
	returned := make(chan error, 1)
	go func() { returned <- sessionlock.Unlock(t.Context(), conn, id) }()
	select {
	case err := <-returned:
		if err == nil {
			t.Error("a silent database gave the lock back")
		}
	case <-time.After(time.Minute):
		t.Fatal("Unlock waits for a silent database")
	}
	_ = conn.Close()
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("the pool keeps %d connections", n)
	}
}
