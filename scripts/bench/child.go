package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// Every measurement runs in a process of its own, so that another measurement's heap does
// not affect its memory and its garbage collector. Ory is also a separate process.

// task is the task of a child.
type task struct {
	Role    string // ory, raw, decode, pass, mend; plain, naive, quick, misses
	Admin   string // Ory's admin API
	Public  string // Ory's public API
	Dialect sqlstore.Dialect
	DSN     string
	Profile string // path of a CPU profile
	People  string // the file with the signed-in people
	Rounds  int
	Answer  map[string]string // headers for plain
}

// figures are the results of a child.
type figures struct {
	Identities int
	Seconds    float64
	RSS        int // maximum resident set size in kB
	Report     reconcile.Report
	Misses     []missRound `json:",omitempty"`
}

const taskVariable = "SYMBOLON_BENCH_TASK"

// child runs a task in a process of its own.
func child(ctx context.Context, t task) (f figures, err error) {
	cmd, err := command(ctx, t)
	if err != nil {
		return f, err
	}
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("%s: %w", t.Role, err)
	}
	return f, json.Unmarshal(out, &f)
}

func command(ctx context.Context, t task) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// serving runs a server in a child until stop is called.
func serving(ctx context.Context, t task) (address string, stop func(), err error) {
	cmd, err := command(ctx, t)
	if err != nil {
		return "", nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = in.Close()
		defer time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() }).Stop()
		_ = cmd.Wait()
	}
	if _, err := fmt.Fscan(out, &address); err != nil {
		stop()
		return "", nil, fmt.Errorf("%s did not start: %w", t.Role, err)
	}
	return address, stop, nil
}

// announce prints the server's address, and waits until the parent closes the input or
// dies.
func announce(address string) error {
	fmt.Fprintln(os.Stdout, address)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// perform runs a task in the child.
func perform(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	if t.Profile != "" {
		file, err := os.Create(t.Profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, f, began := context.Background(), figures{}, time.Now()
	var err error
	switch t.Role {
	case "ory":
		fake := fakeory.New(fakeory.Config{Generation: fakeory.V26})
		defer fake.Close()
		return announce(fake.AdminURL)
	case "plain", "naive", "quick":
		return t.serve(ctx)
	case "misses":
		f.Misses, err = t.miss(ctx)
	case "raw":
		err = rawPages(ctx, t.Admin)
	case "decode":
		for _, failed := range listing(t.Admin)(ctx, "") {
			if failed != nil {
				return failed
			}
			f.Identities++
		}
	case "pass", "mend":
		f.Report, err = t.reconcile(ctx)
		f.Identities = f.Report.Identities
	default:
		err = fmt.Errorf("unknown task %q", t.Role)
	}
	if err != nil {
		return err
	}
	f.Seconds = time.Since(began).Seconds()
	if f.RSS, err = mostResident(); err != nil {
		return err
	}
	f.Report.Findings = nil
	return json.NewEncoder(os.Stdout).Encode(f)
}

func listing(admin string) func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
	client := &ory.Client{PublicURL: admin, AdminURL: admin}
	return func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
		return client.Identities(ctx, ory.ListOptions{From: from})
	}
}

func openStore(dialect sqlstore.Dialect, dsn string) (*sqlstore.Store, error) {
	db, err := sql.Open(map[sqlstore.Dialect]string{sqlstore.SQLite: "sqlite", sqlstore.Postgres: "pgx"}[dialect], dsn)
	if err != nil {
		return nil, err
	}
	return &sqlstore.Store{DB: db, Dialect: dialect}, nil
}

func newLinker(store *sqlstore.Store, admin string) *link.Linker {
	return &link.Linker{Ory: &ory.Client{PublicURL: admin, AdminURL: admin}, Store: store, BackReference: link.BackReference{Write: link.WriteReserve},
		Secrets: []symbolon.Secret{symbolon.Secret("a secret of at least thirty-two bytes")}, Log: slog.New(slog.DiscardHandler)}
}

// reconcile runs one pass. As "mend" it makes the missing links.
func (t task) reconcile(ctx context.Context) (reconcile.Report, error) {
	store, err := openStore(t.Dialect, t.DSN)
	if err != nil {
		return reconcile.Report{}, err
	}
	defer store.DB.Close()
	r := &reconcile.Reconciler{Linker: newLinker(store, t.Admin), Ledger: store, Identities: listing(t.Admin)}
	report, err := r.Run(ctx, reconcile.Options{Repair: t.Role == "mend"})
	if err == nil && report.Left() > 0 {
		err = fmt.Errorf("differences are left: %v", report.Found)
	}
	return report, err
}

// mostResident reads the maximum resident set size of this process from the kernel.
func mostResident() (kB int, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	if !found {
		return 0, errors.New("the kernel does not report the used memory")
	}
	_, err = fmt.Sscan(rest, &kB)
	return kB, err
}
