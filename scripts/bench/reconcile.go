package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// reconcileBench measures passes over the fake Ory, passes over a real Kratos, and the
// creation of missing links.
type reconcileBench struct {
	n, kratos, rounds int
	dir, profiles     string
	postgres          *symbolontest.Postgres
	databases         int
}

var dialects = []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres}

func benchReconcile(args []string) (err error) {
	flags := flag.NewFlagSet("bench reconcile", flag.ExitOnError)
	b := reconcileBench{}
	flags.IntVar(&b.n, "n", 100_000, "how many identities there are")
	flags.IntVar(&b.kratos, "kratos", 100_000, "how many of them a real Kratos has; 0: none is started")
	flags.IntVar(&b.rounds, "rounds", 5, "how often everything is measured")
	flags.StringVar(&b.profiles, "profiles", "", "a folder for CPU profiles of what is measured; empty: none")
	out := flags.String("o", "BENCHMARKS.md", "where the table goes; - for standard output only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx := context.Background()
	if b.dir, err = os.MkdirTemp("", "symbolon-bench-*"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.postgres, err = (symbolontest.PostgresConfig{Durable: true}).Launch(ctx); err != nil {
		return err
	}
	defer b.postgres.Close()
	text, err := b.measure(ctx)
	if err != nil {
		return err
	}
	return publish(*out, reconcileHeading, text)
}

func (b *reconcileBench) measure(ctx context.Context) (string, error) {
	admin, stop, err := serving(ctx, task{Role: "ory"})
	if err != nil {
		return "", err
	}
	fake, err := b.fakePasses(ctx, admin)
	stop()
	if err != nil {
		return "", err
	}
	var real passes
	if b.kratos > 0 {
		if real, err = b.realPasses(ctx); err != nil {
			return "", err
		}
	}
	links := map[sqlstore.Dialect]linked{}
	for _, dialect := range dialects {
		if links[dialect], err = b.links(ctx, dialect); err != nil {
			return "", err
		}
	}
	return b.table(fake, real, links), nil
}

func (b *reconcileBench) fakePasses(ctx context.Context, admin string) (passes, error) {
	began := time.Now()
	err := importPeople(ctx, admin, b.n, func(done int) {
		if done%10_000 == 0 {
			say("%d of %d identities imported, %v", done, b.n, time.Since(began).Round(time.Second))
		}
	})
	if err != nil {
		return nil, err
	}
	return b.passes(ctx, admin, b.n, b.rounds)
}

// realPasses reads a real Kratos on Postgres. It imports a few identities and copies the
// others inside Kratos' database, because an import of all would take an hour.
func (b *reconcileBench) realPasses(ctx context.Context) (passes, error) {
	say("starting a real Kratos")
	dsn, err := createPostgres(ctx, b.postgres, "kratos")
	if err != nil {
		return nil, err
	}
	kratos, err := symbolontest.LaunchKratos(ctx, symbolontest.KratosConfig{DSN: dsn, Overlay: []byte("log:\n  level: error\n")})
	if err != nil {
		return nil, err
	}
	defer kratos.Close()
	if err := importPeople(ctx, kratos.AdminURL, min(b.kratos, batch), func(int) {}); err != nil {
		return nil, err
	}
	if err := multiply(ctx, dsn, b.kratos); err != nil {
		return nil, fmt.Errorf("copy people in Kratos' database: %w", err)
	}
	return b.passes(ctx, kratos.AdminURL, b.kratos, min(b.rounds, 3))
}

// passes are the figures of the rounds, by task.
type passes map[string][]figures

const (
	raw    = "raw"
	decode = "decode"
)

// passes links n people and measures every task that reads all of them.
func (b *reconcileBench) passes(ctx context.Context, admin string, n, rounds int) (passes, error) {
	tasks := []task{{Role: raw, Admin: admin}, {Role: decode, Admin: admin}}
	names := []string{raw, decode}
	out := passes{}
	for _, dialect := range dialects {
		store, dsn, err := b.newDatabase(ctx, dialect)
		if err != nil {
			return nil, err
		}
		if err := store.DB.Close(); err != nil {
			return nil, err
		}
		mend := task{Role: "mend", Admin: admin, Dialect: dialect, DSN: dsn}
		f, err := child(ctx, mend)
		if err != nil {
			return nil, err
		}
		out["mend/"+string(dialect)] = []figures{f}
		say("%s: %d linked in %.1f s, three listings included", dialect, f.Identities, f.Seconds)
		mend.Role = "pass"
		tasks, names = append(tasks, mend), append(names, string(dialect))
	}
	for round := range rounds {
		for i := range tasks {
			at := (round + i) % len(tasks) // the order changes from round to round
			if b.profiles != "" {
				tasks[at].Profile = filepath.Join(b.profiles, names[at]+".prof")
			}
			f, err := child(ctx, tasks[at])
			if err != nil {
				return nil, err
			}
			if f.Identities != n && names[at] != raw {
				return nil, fmt.Errorf("%s read %d of %d identities", names[at], f.Identities, n)
			}
			say("round %d of %d, %s: %.2f s, %d MB", round+1, rounds, names[at], f.Seconds, f.RSS>>10)
			out[names[at]] = append(out[names[at]], f)
		}
	}
	return out, nil
}

// newDatabase returns an empty database with Symbolon's tables. The caller closes the
// store.
func (b *reconcileBench) newDatabase(ctx context.Context, dialect sqlstore.Dialect) (store *sqlstore.Store, dsn string, err error) {
	b.databases++
	name := fmt.Sprintf("bench_%d", b.databases)
	if dialect == sqlstore.SQLite {
		dsn = sqlstore.SQLiteDSN(filepath.Join(b.dir, name+".db"))
	} else if dsn, err = createPostgres(ctx, b.postgres, name); err != nil {
		return nil, "", err
	}
	if store, err = openStore(dialect, dsn); err != nil {
		return nil, "", err
	}
	return store, dsn, migrate.Up(ctx, store.DB, dialect)
}

// createPostgres creates a database in a cluster.
func createPostgres(ctx context.Context, cluster *symbolontest.Postgres, name string) (dsn string, err error) {
	db, err := sql.Open("pgx", cluster.DSN)
	if err != nil {
		return "", err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `create database `+name); err != nil {
		return "", err
	}
	u, err := url.Parse(cluster.DSN)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}
