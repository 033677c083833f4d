package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest"
)

// authBench measures the cost of finding the user of a request: over HTTP through
// `symbolon serve`, in process, and without a cached answer.
type authBench struct {
	rounds, conns, sessions int
	slice                   time.Duration
	held                    bool
	dir, profiles           string
}

// authLimit is the time limit of the whole run. After it all processes are killed.
const authLimit = 15 * time.Minute

func benchAuth(args []string) (err error) {
	flags := flag.NewFlagSet("bench auth", flag.ExitOnError)
	b := authBench{}
	flags.IntVar(&b.rounds, "rounds", 80, "how often everything is measured")
	flags.DurationVar(&b.slice, "slice", 200*time.Millisecond, "how long each server is asked in a round")
	flags.IntVar(&b.conns, "conns", 8, "connections that ask at once")
	flags.IntVar(&b.sessions, "sessions", 200, "sessions that are not cached")
	flags.BoolVar(&b.held, "held", true, "hold a million sessions as well")
	flags.StringVar(&b.profiles, "profiles", "", "a folder for CPU profiles of the misses; empty: none")
	out := flags.String("o", "BENCHMARKS.md", "where the table goes; - for standard output only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.rounds < 1 || b.conns < 1 || b.sessions < asked || b.slice < 10*time.Millisecond {
		return fmt.Errorf("at least 1 round, 1 connection, %d sessions and slices of 10ms are needed", asked)
	}
	ctx, cancel := context.WithTimeout(context.Background(), authLimit)
	defer cancel()
	if b.dir, err = os.MkdirTemp("", "symbolon-bench-*"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	figures, err := b.measure(ctx)
	if err != nil {
		return err
	}
	return publish(*out, authHeading, b.table(figures))
}

// authFigures are the figures of the table.
type authFigures struct {
	http          loads
	kratos, quick []missRound
	inside        results
	locks         []string // where goroutines waited for locks, longest first
}

func (b *authBench) measure(ctx context.Context) (f authFigures, err error) {
	w, err := b.newWorld(ctx)
	if err != nil {
		return f, err
	}
	defer w.close()
	if f.http, err = b.overHTTP(ctx, w); err != nil {
		return f, err
	}
	if f.kratos, err = b.misses(ctx, w, "misses", w.kratos.PublicURL, max(1, b.rounds/2)); err != nil {
		return f, err
	}
	quick, stop, err := serving(ctx, task{Role: "quick", People: w.file})
	if err != nil {
		return f, err
	}
	f.quick, err = b.misses(ctx, w, "quick", "http://"+quick, b.rounds)
	stop()
	if err != nil {
		return f, err
	}
	w.close() // the figures in process need the whole machine
	return f, b.inProcess(ctx, &f)
}

// world is a real Kratos on Postgres with signed-in people.
type world struct {
	postgres *symbolontest.Postgres
	kratos   *symbolontest.Kratos
	people   []person
	file     string // has the people, for the children
}

// person is a signed-in person.
type person struct {
	Identity, Token string
	Cookie          string          // set only for people in the load over HTTP
	Whoami          json.RawMessage // Kratos' answer
}

// close may be called twice.
func (w *world) close() {
	if w.kratos != nil {
		w.kratos.Close()
	}
	if w.postgres != nil {
		w.postgres.Close()
	}
}

func (b *authBench) newWorld(ctx context.Context) (w *world, err error) {
	w = &world{file: filepath.Join(b.dir, "people.json")}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	say("starting Postgres and a real Kratos on it")
	if w.postgres, err = symbolontest.LaunchPostgres(ctx); err != nil {
		return nil, err
	}
	dsn, err := createPostgres(ctx, w.postgres, "kratos")
	if err != nil {
		return nil, err
	}
	if w.kratos, err = symbolontest.LaunchKratos(ctx, symbolontest.KratosConfig{DSN: dsn + kratosPool, Overlay: []byte("log:\n  level: error\n")}); err != nil {
		return nil, err
	}
	if w.people, err = b.signUp(ctx, w.kratos); err != nil {
		return nil, err
	}
	text, err := json.Marshal(w.people)
	if err != nil {
		return nil, err
	}
	return w, os.WriteFile(w.file, text, 0o600)
}

// kratosPool is one connection for each concurrent question. Kratos' default is the
// number of cores, and it then opens and closes a connection for every other question.
const kratosPool = "&max_conns=16&max_idle_conns=16"

// asked is the number of sessions in the load over HTTP. Each of them is refreshed in the
// background, by a Kratos on the same cores.
const asked = 1

func (b *authBench) signUp(ctx context.Context, kratos *symbolontest.Kratos) ([]person, error) {
	people := make([]person, b.sessions)
	err := each8(len(people), func(n int) error {
		email := fmt.Sprintf("person-%d@example.org", n)
		const password = "correct horse battery"
		p, err := kratos.Register(ctx, email, password, fmt.Sprint("Person Number ", n))
		if err != nil {
			return err
		}
		people[n] = person{Identity: p.IdentityID, Token: p.Token}
		if people[n].Whoami, _, err = kratos.Whoami(ctx, p.Token); err != nil || n >= asked {
			return err
		}
		cookie, err := kratos.LoginBrowser(ctx, email, password)
		if err == nil {
			people[n].Cookie = cookie.Value
		}
		return err
	})
	return people, err
}

func readPeople(file string) (people []person, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return people, json.Unmarshal(text, &people)
}
