package system

import (
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// TestMigrationLimits checks that Postgres ends a transaction of a migration whose program has
// vanished, and limits nothing else.
func TestMigrationLimits(t *testing.T) {
	c := config.Defaults()
	c.Database = config.Hidden(symbolontest.SharedPostgres(t).NewDatabase(t))
	c.DatabasePool.StatementTimeout = 0
	db, _, err := openDatabase(t.Context(), c, existing, migrationLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var got string
	err = tx.QueryRowContext(t.Context(), `select current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') || ' ' ||
		current_setting('idle_in_transaction_session_timeout')`).Scan(&got)
	if want := "0 0 10s"; err != nil || got != want {
		t.Errorf("%s, want %s (%v)", got, want, err)
	}
}
