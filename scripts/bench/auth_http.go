package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	processes "github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/internal/port"
)

// The compared servers and their credentials.
const (
	plainByCookie = "plain/cookie"
	plainByToken  = "plain/token"
	oursByCookie  = "symbolon/cookie"
	oursByToken   = "symbolon/token"
	naiveByCookie = "naive/cookie"
)

// overHTTP measures three servers, each in its own process, in turn and repeatedly.
func (b *authBench) overHTTP(ctx context.Context, w *world) (loads, error) {
	ours, stop, err := b.startSymbolon(ctx, w)
	if err != nil {
		return nil, err
	}
	defer stop()
	byCookie, byToken := requestsOf(w.people[:asked])
	answer, err := oneAnswer(ctx, ours, w.people[0])
	if err != nil {
		return nil, err
	}
	plain, stopPlain, err := serving(ctx, task{Role: "plain", Answer: answer})
	if err != nil {
		return nil, err
	}
	defer stopPlain()
	dsn, err := usersByHand(ctx, w)
	if err != nil {
		return nil, err
	}
	naive, stopNaive, err := serving(ctx, task{Role: "naive", DSN: dsn, Public: w.kratos.PublicURL})
	if err != nil {
		return nil, err
	}
	defer stopNaive()
	return b.takeTurns(ctx, []contest{
		{plainByCookie, plain, byCookie}, {oursByCookie, ours, byCookie},
		{plainByToken, plain, byToken}, {oursByToken, ours, byToken},
		{naiveByCookie, naive, byCookie},
	})
}

// contest is one server with one kind of credential.
type contest struct {
	name, address string
	requests      [][]byte
}

// takeTurns measures the servers of a pair right after each other. The last contest keeps
// other processes busy, so it is not part of a pair.
func (b *authBench) takeTurns(ctx context.Context, contests []contest) (loads, error) {
	for _, c := range contests { // warm-up
		if _, err := ask(ctx, c.address, c.requests, b.conns, b.slice); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	out := loads{}
	for round := range b.rounds {
		for i := range contests {
			at := i
			if round%2 == 1 && i < len(contests)-1 { // the second of the pair starts in odd rounds
				at = i ^ 1
			}
			c := contests[at]
			l, err := ask(ctx, c.address, c.requests, b.conns, b.slice)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			out[c.name] = append(out[c.name], l)
		}
		time.Sleep(b.slice / 4) // let Kratos and Postgres become idle
		if round%20 == 19 || round+1 == b.rounds {
			say("round %d of %d over HTTP: /auth %.0f, plain %.0f, by hand %.0f requests/s", round+1, b.rounds,
				out[oursByCookie][round].perSecond, out[plainByCookie][round].perSecond, out[naiveByCookie][round].perSecond)
		}
	}
	return out, nil
}

// startSymbolon builds the program and runs `symbolon serve` with defaults. Only the
// addresses of Ory and of the database are set.
func (b *authBench) startSymbolon(ctx context.Context, w *world) (address string, stop func(), err error) {
	say("building symbolon")
	program := filepath.Join(b.dir, "symbolon")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/symbolon")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", nil, fmt.Errorf("build symbolon: %w", err)
	}
	dsn, err := createPostgres(ctx, w.postgres, "symbolon")
	if err != nil {
		return "", nil, err
	}
	free, err := port.Free()
	if err != nil {
		return "", nil, err
	}
	address = fmt.Sprintf("127.0.0.1:%d", free)
	log, err := os.Create(filepath.Join(b.dir, "symbolon.log"))
	if err != nil {
		return "", nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, program, "serve")
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "SYMBOLON_SECRET=a secret of at least thirty-two bytes",
		"SYMBOLON_ORY_PUBLIC_URL=" + w.kratos.PublicURL, "SYMBOLON_ORY_ADMIN_URL=" + w.kratos.AdminURL,
		"SYMBOLON_SERVE_PUBLIC=" + address, "SYMBOLON_SERVE_ADMIN=127.0.0.1:0", "SYMBOLON_SERVE_DRAIN=0s", "SYMBOLON_DATABASE=" + dsn}
	process, err := processes.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return "", nil, err
	}
	stop = func() { process.Stop(syscall.SIGTERM, 10*time.Second) }
	for end := time.Now().Add(30 * time.Second); process.Running() && ctx.Err() == nil && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			return address, stop, conn.Close()
		}
	}
	stop()
	text, _ := os.ReadFile(log.Name())
	return "", nil, fmt.Errorf("symbolon serve does not listen:\n%s", text)
}

// oneAnswer returns the headers of /auth's answer, for the plain handler.
func oneAnswer(ctx context.Context, address string, p person) (map[string]string, error) {
	header, err := send(ctx, http.MethodGet, "http://"+address+"/auth", http.Header{"X-Session-Token": {p.Token}}, nil)
	if err != nil {
		return nil, fmt.Errorf("/auth: %w", err)
	}
	if identity := header.Get("X-Identity-Id"); identity != p.Identity {
		return nil, fmt.Errorf("/auth answers for %q", identity)
	}
	out := map[string]string{}
	for name, values := range header {
		if name != "Date" && name != "Content-Length" { // added by net/http
			out[name] = values[0]
		}
	}
	return out, nil
}

// usersByHand creates the users table of an application without Symbolon.
func usersByHand(ctx context.Context, w *world) (dsn string, err error) {
	if dsn, err = createPostgres(ctx, w.postgres, "application"); err != nil {
		return "", err
	}
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close(ctx)) }()
	if _, err := db.Exec(ctx, `create table users (id uuid primary key default gen_random_uuid(), identity_id uuid not null unique)`); err != nil {
		return "", err
	}
	for _, p := range w.people {
		if _, err := db.Exec(ctx, `insert into users (identity_id) values ($1)`, p.Identity); err != nil {
			return "", err
		}
	}
	_, err = db.Exec(ctx, `vacuum analyze users`)
	return dsn, err
}
