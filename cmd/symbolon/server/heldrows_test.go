package server

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestHeldRows has a transaction of the application that holds the rows of 25 people, while
// hooks for all of them come. The hooks are answered, because their work is stored. The
// hooks wait for the rows and leave connections to 30 other people. The jobs do the work
// after the application's transaction has ended.
func TestHeldRows(t *testing.T) {
	const held, others = 25, 30
	database := cmdtest.NewDatabase(t, sqlstore.Postgres)
	i := install(t, func(c *config.Config) {
		c.Database, c.Reconcile.Load = config.Hidden(database), "100%"
		c.DatabasePool.StatementTimeout = 0 // as behind a pooler
	})
	i.hooks.Timeout = 4 * time.Second // enough for a slow machine
	var ids, tokens []string
	for n := range held {
		id, token := i.ory.Add(n)
		i.signIn(t, token)
		i.ory.Set(id, "traits", map[string]any{"email": fmt.Sprintf("new%d@example.com", n)})
		ids = append(ids, id)
	}
	for n := range others {
		_, token := i.ory.Add(held + n)
		tokens = append(tokens, token)
	}
	db := cmdtest.OpenDB(t, database)
	count := func(query string) (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `select from symbolon_users for update`); err != nil {
		t.Fatal(err)
	}
	var hooks, requests sync.WaitGroup
	for _, id := range ids {
		hooks.Go(func() {
			w := cmdtest.Ask(i.Public(), "POST", "/hooks/sync", fmt.Sprintf(`{"identity_id":%q}`, id), "X-Symbolon-Key", system.HookKeys(i.Config).Sync[0])
			if w.Code != 200 {
				t.Errorf("hook: %d %s", w.Code, w.Body)
			}
		})
	}
	cmdtest.Eventually(t, "hooks wait for the rows", func() bool {
		return count(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) >= 5 // half of the pool
	})
	for _, token := range tokens {
		requests.Go(func() {
			if w := cmdtest.Ask(i.Public(), "GET", "/auth", "", "X-Session-Token", token); w.Code != 200 {
				t.Errorf("another person: %d %s", w.Code, w.Body)
			}
		})
	}
	requests.Wait()
	hooks.Wait()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	cmdtest.Eventually(t, "the jobs have done the work", func() bool {
		return count(`select count(*) from symbolon_users where email like 'new%'`) == held
	})
}

// TestTransactionsHaveLimits checks the limits of the server's transactions, which Postgres
// enforces whatever pooler is between.
func TestTransactionsHaveLimits(t *testing.T) {
	i := install(t, func(c *config.Config) {
		c.Database = config.Hidden(cmdtest.NewDatabase(t, sqlstore.Postgres))
		c.DatabasePool.StatementTimeout = 0
	})
	for name, c := range map[string]struct {
		inTx func(context.Context, func(*sql.Tx) error) error
		want string
	}{
		"requests and hints": {i.Store.InTx, "10s 5s 10s"},
		"jobs":               {i.putter(i.work.db).InTx, "17s 5s 10s"},
	} {
		var got string
		err := c.inTx(t.Context(), func(tx *sql.Tx) error {
			return tx.QueryRowContext(t.Context(), `select current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') ||
				' ' || current_setting('idle_in_transaction_session_timeout')`).Scan(&got)
		})
		if err != nil || got != c.want {
			t.Errorf("%s: %s, want %s (%v)", name, got, c.want, err)
		}
	}
}
