package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
)

// missRound has the sessions per second of one round.
type missRound struct {
	Whoami  float64 // one request to whoami
	ByHand  float64 // whoami, and the user's row by one prepared statement
	Expired float64 // a verifier whose cached answers have expired
	New     float64 // a verifier that has not seen the sessions, including the message to the other replicas
}

// misses measures the cost of a session that is not cached, in a process of its own.
func (b *authBench) misses(ctx context.Context, w *world, name, whoami string, rounds int) ([]missRound, error) {
	dsn, err := createPostgres(ctx, w.postgres, name)
	if err != nil {
		return nil, err
	}
	t := task{Role: "misses", Public: whoami, Admin: w.kratos.AdminURL, DSN: dsn, People: w.file, Rounds: rounds}
	if b.profiles != "" {
		t.Profile = filepath.Join(b.profiles, name+".prof")
	}
	f, err := child(ctx, t)
	if err != nil {
		return nil, err
	}
	last := f.Misses[len(f.Misses)-1]
	say("%d rounds of sessions that are not cached: %.0f a second, whoami alone %.0f", rounds, last.Expired, last.Whoami)
	return f.Misses, nil
}

// miss runs in the child. The four ways take turns, with the same connections to Ory and
// to the database, 8 at once.
func (t task) miss(ctx context.Context) (out []missRound, err error) {
	ctx, cancel := context.WithCancel(ctx) // cancellable, as a request's context is: drivers watch it
	defer cancel()
	people, err := readPeople(t.People)
	if err != nil {
		return nil, err
	}
	store, err := openStore(sqlstore.Postgres, t.DSN)
	if err != nil {
		return nil, err
	}
	defer store.DB.Close()
	store.DB.SetMaxOpenConns(10)
	store.DB.SetMaxIdleConns(10)
	if err := migrate.Up(ctx, store.DB, store.Dialect); err != nil {
		return nil, err
	}
	m := &missing{people: people, client: &ory.Client{PublicURL: t.Public, AdminURL: t.Admin}, store: store}
	defer m.client.CloseIdleConnections()
	if m.row, err = store.DB.PrepareContext(ctx, `select id from symbolon_users where ory_identity_id = $1`); err != nil {
		return nil, err
	}
	defer m.row.Close()
	v, err := m.verifier()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	if _, err := m.verify(ctx, v); err != nil { // the first call links everybody
		return nil, err
	}
	n := float64(len(people))
	kinds := []func(context.Context) (float64, error){m.whoami, m.byHand, m.expired(v), m.new}
	for round := range t.Rounds {
		var took [4]float64
		for i := range kinds {
			at := (round + i) % len(kinds)
			if took[at], err = kinds[at](ctx); err != nil {
				return nil, err
			}
		}
		out = append(out, missRound{n / took[0], n / took[1], n / took[2], n / took[3]})
	}
	return out, nil
}

type missing struct {
	people []person
	client *ory.Client
	store  *sqlstore.Store
	row    *sql.Stmt
}

func (m *missing) whoami(ctx context.Context) (float64, error) {
	return m.each(func(p person) error {
		_, err := m.client.Whoami(ctx, ory.Credential{Kind: ory.SessionToken, Value: p.Token})
		return err
	})
}

func (m *missing) byHand(ctx context.Context) (float64, error) {
	return m.each(func(p person) error {
		s, err := m.client.Whoami(ctx, ory.Credential{Kind: ory.SessionToken, Value: p.Token})
		if err != nil {
			return err
		}
		var id string
		return m.row.QueryRowContext(ctx, string(s.Identity.ID)).Scan(&id)
	})
}

// verifier returns a verifier with the shared tables of `symbolon serve`.
func (m *missing) verifier() (*session.Verifier, error) {
	linker := newLinker(m.store, m.client.AdminURL)
	linker.Ory = m.client
	v := &session.Verifier{Linker: linker, Memory: &sqlstore.Replicas{Store: m.store}, Log: slog.New(slog.DiscardHandler)}
	return v, v.Check()
}

func (m *missing) verify(ctx context.Context, v *session.Verifier) (float64, error) {
	return m.each(func(p person) error {
		got, err := v.Verify(ctx, ory.Credential{Kind: ory.SessionToken, Value: p.Token})
		if err == nil && got.User.Identity != symbolon.IdentityID(p.Identity) {
			err = fmt.Errorf("%s was taken for %s", p.Identity, got.User.Identity)
		}
		return err
	})
}

// expired measures a verifier whose answers have all expired. It purges the users instead
// of waiting for max_stale.
func (m *missing) expired(v *session.Verifier) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		for _, p := range m.people {
			v.Purge(symbolon.IdentityID(p.Identity))
		}
		before := v.Stats().Asked
		took, err := m.verify(ctx, v)
		if asked := v.Stats().Asked - before; err == nil && asked != uint64(len(m.people)) {
			err = fmt.Errorf("%d sessions cost %d questions to Ory", len(m.people), asked)
		}
		return took, err
	}
}

func (m *missing) new(ctx context.Context) (seconds float64, err error) {
	v, err := m.verifier()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = m.verify(ctx, v)
	v.Close()
	return time.Since(began).Seconds(), err
}

func (m *missing) each(do func(person) error) (seconds float64, err error) {
	began := time.Now()
	err = each8(len(m.people), func(n int) error { return do(m.people[n]) })
	return time.Since(began).Seconds(), err
}
