package setup

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/sqlstore"
)

const partitioned = `create table accounts (id bigserial primary key, email text) partition by range (id)`

// names are the files of the folder.
func names(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func hasColumn(t *testing.T, db *sql.DB) bool {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "select * from accounts where 1 = 0")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || rows.Err() != nil {
		t.Fatal(err, rows.Err())
	}
	return strings.Contains(strings.Join(columns, " "), "ory_identity_id")
}

const all = "symbolon-hooks.yml symbolon.secret symbolon.yaml"

// TestInitSQLFailsHalfway: the error says which statements were run. A second run does the rest.
func TestInitSQLFailsHalfway(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, dsn string) {
		index := "accounts_ory_identity_id_key"
		for name, test := range map[string]struct {
			ddl, remedy []string
			says        string
		}{
			"the name of the index is taken": {
				[]string{accountsOf(dsn, serial(dsn)), "create index " + index + " on accounts (plan)"}, []string{"drop index " + index}, "already exists"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Chdir(t.TempDir())
				db := cmdtest.OpenDB(t, dsn)
				cmdtest.Exec(t, db, append([]string{"drop table if exists accounts"}, test.ddl...)...)
				args := []string{"init", "--apply", "--database", dsn, "--table", "accounts"}
				code, out, errs := runIn(t, config.Environ{}, args...)
				if code != 1 || out != "" || strings.Contains(errs, "nothing was written") || !strings.Contains(errs, test.says) {
					t.Errorf("exit %d\n%s%s", code, out, errs)
				}
				_, hint, _ := strings.Cut(errs, "hint: no file was written; SQL that was run on accounts and stays: alter table ")
				if ran, left, found := strings.Cut(hint, "; SQL that failed or was not begun: "); !found || strings.Contains(ran, "index") || !strings.HasPrefix(left, "create unique index ") {
					t.Error(errs)
				}
				if names(t) != "" || !hasColumn(t, db) {
					t.Errorf("init left the files %q, or did not add the column", names(t))
				}
				cmdtest.Exec(t, db, test.remedy...)
				code, out, errs = runIn(t, config.Environ{}, args...)
				if code != 0 || strings.Contains(out, "alter table") || !strings.Contains(out, "create unique index") || names(t) != all {
					t.Errorf("after the remedy: exit %d, %s\n%s%s", code, names(t), out, errs)
				}
			})
		}
	})
}

// TestInitPartitioned: no SQL makes a column of a partitioned table unique, so nothing is run.
func TestInitPartitioned(t *testing.T) {
	t.Chdir(t.TempDir())
	dsn := cmdtest.NewDatabase(t, sqlstore.Postgres)
	db := cmdtest.OpenDB(t, dsn)
	cmdtest.Exec(t, db, partitioned)
	code, out, errs := runIn(t, config.Environ{}, "init", "--apply", "--database", dsn, "--table", "accounts")
	if code != 1 || out != "" || !strings.Contains(errs, "accounts is partitioned by id") || !strings.Contains(errs, "nothing was written") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if names(t) != "" || hasColumn(t, db) {
		t.Errorf("init left the files %q, or added the column", names(t))
	}
}

// TestInitCannotWrite: the database stays as it is if the files cannot be written.
func TestInitCannotWrite(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, dsn string) {
		t.Chdir(t.TempDir())
		db := cmdtest.OpenDB(t, dsn)
		cmdtest.Exec(t, db, accountsOf(dsn, serial(dsn)))
		if err := os.MkdirAll("folder.yaml/x", 0o700); err != nil {
			t.Fatal(err)
		}
		for file, want := range map[string]int{"nowhere/symbolon.yaml": 1, "folder.yaml": 2} {
			code, out, errs := runIn(t, config.Environ{}, "init", "--apply", "--force", "--database", dsn, "--table", "accounts", "--config", file)
			if code != want || out != "" || !strings.Contains(errs, strings.TrimSuffix(file, "symbolon.yaml")) || !strings.Contains(errs, "hint: nothing was written; ") {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
			if names(t) != "folder.yaml" || hasColumn(t, db) {
				t.Errorf("%s: init left the files %q, or the column", file, names(t))
			}
		}
	})
}

// TestInitIsStopped stops init while it waits for the table: by Ctrl-C, or by a file that somebody
// else makes.
func TestInitIsStopped(t *testing.T) {
	for name, test := range map[string]struct {
		stop func(t *testing.T, cancel func(), lock *sql.Tx)
		says string
		left string
	}{
		"by Ctrl-C": {func(_ *testing.T, cancel func(), _ *sql.Tx) { cancel() },
			"no file was written; SQL that was run on accounts and stays: none; SQL that failed or was not begun: alter table", ""},
		"by a file": {func(t *testing.T, _ func(), lock *sql.Tx) {
			if err := os.WriteFile("symbolon.yaml", []byte("mine"), 0o600); err != nil {
				t.Error(err)
			}
			if err := lock.Rollback(); err != nil {
				t.Error(err)
			}
		}, "no file was written; SQL that was run on accounts and stays: alter table", "symbolon.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			dsn := cmdtest.NewDatabase(t, sqlstore.Postgres)
			db := cmdtest.OpenDB(t, dsn)
			cmdtest.Exec(t, db, accountsOf(dsn, serial(dsn)))
			lock, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = lock.Rollback() }()
			if _, err := lock.ExecContext(t.Context(), "lock table accounts in row exclusive mode"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			args := []string{"init", "--apply", "--database", dsn, "--table", "accounts"}
			var code int
			var out, errs string
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				code, out, errs = runUntil(ctx, config.Environ{}, args...)
			}()
			cmdtest.Eventually(t, "init waits for the table", func() bool {
				var n int
				err := db.QueryRowContext(t.Context(), "select count(*) from pg_locks where not granted and relation = 'accounts'::regclass").Scan(&n)
				return err == nil && n == 1
			})
			test.stop(t, cancel, lock)
			<-ended
			if code != 1 || out != "" || !strings.Contains(errs, test.says) || names(t) != test.left {
				t.Errorf("exit %d, left %q\n%s%s", code, names(t), out, errs)
			}
			_ = lock.Rollback()
			code, out, errs = runIn(t, config.Environ{}, append(args, "--force")...)
			if code != 0 || names(t) != all {
				t.Errorf("once more: exit %d, %s\n%s%s", code, names(t), out, errs)
			}
		})
	}
}

// TestPlaceTakesBack: if one file does not get its name, the files before it are as they were.
func TestPlaceTakesBack(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"old", "in-the-way"} {
		if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &plan{drafts: []*file{{path: "new", text: "x"}, {path: "newly", text: "x", replace: true}, {path: "old", text: "x", replace: true}, {path: "in-the-way", text: "x"}}}
	for _, f := range p.drafts {
		if err := f.draft(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.place(); err == nil {
		t.Error("place replaced a file")
	}
	p.removeDrafts()
	if got := names(t) + cmdtest.ReadFile(t, "old") + cmdtest.ReadFile(t, "in-the-way"); got != "in-the-way oldbeforebefore" {
		t.Error(got)
	}
}
