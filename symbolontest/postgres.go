package symbolontest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/internal/port"
)

// PostgresConfig configures a private Postgres. The zero value is fast. It loses data
// when the machine goes down, but not when Postgres stops.
type PostgresConfig struct {
	// Durable turns fsync and full_page_writes on, as in production. It is for
	// benchmarks. Tests do not need it, because committed data survives Stop in both
	// modes.
	Durable bool

	// Settings are further lines of postgresql.conf, for example
	// "deadlock_timeout": "100ms".
	Settings map[string]string
}

// Postgres is a private cluster from the machine's own Postgres package. It listens with
// TCP on a free port of 127.0.0.1, without a password, for at most 200 connections. Its
// methods may be called from several goroutines at once.
type Postgres struct {
	// DSN is the postgres:// URL of the superuser's database "postgres".
	DSN string

	config PostgresConfig
	bin    string // folder of initdb and postgres
	dir    string
	port   int
	owner  *postgresOwner // nil: Postgres runs as the current user

	mu      sync.Mutex // guards process
	process *child.Process
}

// postgresOwner is the user for Postgres if the test runs as root, because Postgres
// refuses root.
type postgresOwner struct{ uid, gid int }

const postgresPatience = time.Minute

// StartPostgres starts a cluster for one test and removes it at the end. If Postgres is
// not installed, the test fails and names the package to install. Most tests can use
// [SharedPostgres], which is cheaper.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	return PostgresConfig{}.Start(t)
}

// Start is [StartPostgres] with a configuration.
func (c PostgresConfig) Start(t testing.TB) *Postgres {
	t.Helper()
	p, err := c.Launch(t.Context())
	if err != nil {
		t.Fatalf("symbolontest: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Postgres logged:\n%s", tail(p.Log(), 32<<10))
		}
		p.Close()
	})
	return p
}

// LaunchPostgres starts a cluster for a program and returns when it accepts connections.
// ctx limits the start only. The caller ends the cluster with Close. On Linux Postgres
// also ends if the program dies.
func LaunchPostgres(ctx context.Context) (*Postgres, error) { return PostgresConfig{}.Launch(ctx) }

// Launch is [LaunchPostgres] with a configuration.
func (c PostgresConfig) Launch(ctx context.Context) (*Postgres, error) {
	p := &Postgres{config: c}
	err := p.prepare(ctx)
	for attempt := 1; err == nil; attempt++ {
		if p.port, err = port.Free(); err != nil {
			break
		}
		p.DSN = p.dsn("postgres")
		if err = p.Start(ctx); err == nil {
			return p, nil
		}
		if errors.Is(err, errPortTaken) && attempt < 5 {
			err = nil
		}
	}
	p.Close()
	return nil, fmt.Errorf("start Postgres: %w", err)
}

// prepare finds the programs and creates an empty cluster.
func (p *Postgres) prepare(ctx context.Context) (err error) {
	if p.bin, err = findPostgres(); err != nil {
		return err
	}
	if p.owner, err = findPostgresOwner(); err != nil {
		return err
	}
	if p.dir, err = os.MkdirTemp("", "symbolon-postgres-*"); err != nil {
		return err
	}
	if p.owner != nil {
		if err := os.Chown(p.dir, p.owner.uid, p.owner.gid); err != nil {
			return err
		}
	}
	cmd := p.command("initdb", "--pgdata", p.data(), "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	if out, err := output(ctx, cmd); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, tail(out, 4096))
	}
	return nil
}

// Start starts Postgres again after Stop, on the same port and with the same data. It
// returns when Postgres accepts connections. If Postgres runs, it does nothing.
func (p *Postgres) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil && p.process.Running() {
		return nil
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // Postgres has its own handle
	cmd := p.command("postgres", p.arguments()...)
	cmd.Stdout, cmd.Stderr = log, log
	// If the parent dies, Postgres gets SIGQUIT. It then shuts down at once with its
	// children.
	if p.process, err = child.Start(cmd, syscall.SIGQUIT); err != nil {
		return err
	}
	if err := p.waitReady(ctx); err != nil {
		p.process.Stop(syscall.SIGQUIT, postgresPatience)
		return fmt.Errorf("%w; it logged:\n%s", err, tail(p.Log(), 4096))
	}
	return nil
}

// Stop stops Postgres and cuts every connection, as pg_ctl stop -m immediate does. Start
// can start it again with the same data, after a recovery.
func (p *Postgres) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil {
		p.process.Stop(syscall.SIGQUIT, postgresPatience)
	}
}

// Close stops Postgres and removes its data.
func (p *Postgres) Close() {
	p.Stop()
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

// Log returns Postgres' log.
func (p *Postgres) Log() string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// NewDatabase creates an empty database for one test and returns its DSN. It drops the
// database at the end of the test, also if there are open connections.
func (p *Postgres) NewDatabase(t testing.TB) string {
	t.Helper()
	return p.create(t, "template1")
}

// CopyDatabase is NewDatabase for a copy of another database of this cluster. Nobody may be
// connected to the original. To copy a migrated database is faster than to run the
// migrations for every test.
func (p *Postgres) CopyDatabase(t testing.TB, original string) string {
	t.Helper()
	return p.create(t, original)
}

func (p *Postgres) create(t testing.TB, template string) string {
	t.Helper()
	name := "t_" + strings.ToLower(rand.Text())
	if err := p.exec(t.Context(), "create database "+name+" template "+template); err != nil {
		t.Fatalf("symbolontest: create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), postgresPatience)
		defer cancel()
		_ = p.exec(ctx, "drop database "+name+" with (force)") // fails if the test stopped Postgres, which also removes the database
	})
	return p.dsn(name)
}

func (p *Postgres) exec(ctx context.Context, sql string) error {
	conn, err := pgconn.Connect(ctx, p.DSN)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Exec(ctx, sql).Close()
}

func (p *Postgres) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errors.New("it was not ready within three minutes"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !p.ready(ctx) {
		select {
		case <-p.process.Done():
			if strings.Contains(tail(p.Log(), 4096), "Address already in use") {
				return errPortTaken
			}
			return fmt.Errorf("it ended: %w", p.process.Err())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// ready reports whether this cluster answers. Another process may have taken the port
// first.
func (p *Postgres) ready(ctx context.Context) bool {
	conn, err := pgconn.Connect(ctx, p.DSN)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(ctx) }()
	answer, err := conn.Exec(ctx, "show data_directory").ReadAll()
	return err == nil && len(answer) == 1 && len(answer[0].Rows) == 1 && string(answer[0].Rows[0][0]) == p.data()
}

// arguments returns the settings of the cluster, followed by the caller's settings.
func (p *Postgres) arguments() []string {
	args := []string{
		"-D", p.data(), "-p", strconv.Itoa(p.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "lc_messages=C",
	}
	if !p.config.Durable { // synchronous_commit stays on, because Stop must not lose committed data
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "wal_init_zero=off")
	}
	for name, value := range p.config.Settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	if p.owner != nil {
		child.As(cmd, uint32(p.owner.uid), uint32(p.owner.gid)) // #nosec G115 -- IDs of the system's own user database
	}
	return cmd
}

func (p *Postgres) dsn(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: "127.0.0.1:" + strconv.Itoa(p.port),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (p *Postgres) data() string    { return filepath.Join(p.dir, "data") }
func (p *Postgres) logFile() string { return filepath.Join(p.dir, "postgres.log") }

// findPostgresOwner finds the user that the Debian package creates.
func findPostgresOwner() (*postgresOwner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("run Postgres, which refuses to run as root: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &postgresOwner{uid: uid, gid: gid}, nil
}

// findPostgres returns the folder of the newest installed server programs.
func findPostgres() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		// initdb can be a symbolic link to a folder with the other programs.
		path, err = filepath.EvalSymlinks(path)
		return filepath.Dir(path), err
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	newest, best := 0, ""
	for _, path := range found {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err == nil && version > newest {
			newest, best = version, filepath.Dir(path)
		}
	}
	if best == "" {
		return "", errors.New("it is not installed: no initdb in PATH or /usr/lib/postgresql/*/bin" +
			" (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql)")
	}
	return best, nil
}

// shared has the servers that the tests of one binary share. The first test that uses one
// starts it, and Main stops it.
var shared struct {
	mu       sync.Mutex
	running  bool // Main runs
	postgres *Postgres
	kratos   *Kratos
	err      error // from starting postgres
}

// mustBeShared fails a test whose binary does not call Main.
func mustBeShared(t testing.TB, name string) {
	t.Helper()
	if !shared.running {
		t.Fatalf("symbolontest: %s must be stopped at the end:"+
			" add func TestMain(m *testing.M) { symbolontest.Main(m) }", name)
	}
}

// SharedPostgres returns the shared cluster of this test binary. The first call starts
// it, and [Main] stops it. Create a database in it with [Postgres.NewDatabase]. Do not
// stop it, because other tests may use it.
func SharedPostgres(t testing.TB) *Postgres {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	mustBeShared(t, "SharedPostgres")
	if shared.postgres == nil && shared.err == nil {
		shared.postgres, shared.err = LaunchPostgres(context.WithoutCancel(t.Context()))
	}
	if shared.err != nil {
		t.Fatalf("symbolontest: %v", shared.err)
	}
	return shared.postgres
}

// SharedKratos returns the shared Kratos of this test binary, which has no hooks. The
// first call starts it, and [Main] stops it. Use e-mail addresses that no other test
// uses, and do not count identities. Do not stop it, because other tests may use it.
func SharedKratos(t testing.TB) *Kratos {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	mustBeShared(t, "SharedKratos")
	if shared.kratos == nil {
		k, err := LaunchKratos(context.WithoutCancel(t.Context()), KratosConfig{})
		if err != nil {
			t.Fatalf("symbolontest: %v", err)
		}
		shared.kratos = k
	}
	return shared.kratos
}

// Main runs the tests of a binary, stops the shared servers and exits. If goroutines are
// left, the run fails. Call it from TestMain.
func Main(m *testing.M, ignore ...goleak.Option) {
	shared.mu.Lock()
	shared.running = true
	shared.mu.Unlock()

	code := m.Run()

	shared.mu.Lock()
	shared.running = false
	if shared.postgres != nil {
		shared.postgres.Close()
	}
	if shared.kratos != nil {
		shared.kratos.Close()
	}
	shared.mu.Unlock()
	if code == 0 {
		if err := leaks(ignore); err != nil {
			fmt.Fprintln(os.Stderr, "symbolontest: the tests passed and left goroutines:", err)
			code = 1
		}
	}
	os.Exit(code) //nolint:forbidigo // TestMain has to exit
}

// leaks finds goroutines that do not end. It waits for them, because a goroutine that
// waits for another process can be slow on a busy machine.
func leaks(ignore []goleak.Option) (err error) {
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if err = goleak.Find(ignore...); err == nil {
			return nil
		}
	}
	return err
}
