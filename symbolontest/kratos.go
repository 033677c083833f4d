package symbolontest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/internal/port"
)

// Kratos is a running Ory Kratos. Its methods may be called from several
// goroutines at once.
type Kratos struct {
	// PublicURL and AdminURL are Kratos' two addresses, without a trailing slash.
	PublicURL, AdminURL string

	// ConfigFile is the path of the kratos.yml that Kratos runs with, overlay included.
	ConfigFile string

	config                KratosConfig
	program               string // path of the binary
	dir                   string
	nonce                 string // the title of the identity schema
	publicPort, adminPort int
	client                *http.Client

	mu      sync.Mutex // guards process
	process *child.Process
}

// kratosPatience is the time that Stop gives to running requests.
const kratosPatience = 5 * time.Second

var errPortTaken = errors.New("the port is taken")

// StartKratos starts Ory Kratos for a test and removes its files at the end. If the test
// fails, it shows Kratos' log. If Kratos cannot be built or started, the test fails.
func StartKratos(t testing.TB, config KratosConfig) *Kratos {
	t.Helper()
	k, err := LaunchKratos(t.Context(), config)
	if err != nil {
		t.Fatalf("symbolontest: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Ory Kratos logged:\n%s", tail(k.Log(), 32<<10))
		}
		k.Close()
	})
	return k
}

// LaunchKratos starts Ory Kratos for a program and returns when it is ready. It builds
// Kratos first if necessary. ctx limits the start only. The caller ends Kratos with
// Close. On Linux Kratos also ends if the program dies.
func LaunchKratos(ctx context.Context, config KratosConfig) (*Kratos, error) {
	program, err := BuildKratos(ctx)
	if err != nil {
		return nil, err
	}
	k := &Kratos{
		config: config, program: program, dir: config.Dir, nonce: rand.Text(),
		client: &http.Client{
			Timeout:   100 * time.Second, // Kratos calls a hanging hook three times, which takes 93 s
			Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		},
	}
	if err := k.makeDir(); err != nil {
		return nil, fmt.Errorf("start Ory Kratos: %w", err)
	}
	k.ConfigFile = filepath.Join(k.dir, kratosConfigFile)
	if err := k.launch(ctx); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (k *Kratos) makeDir() (err error) {
	if k.dir == "" {
		k.dir, err = os.MkdirTemp("", "symbolon-kratos-*")
		return err
	}
	if k.dir, err = filepath.Abs(k.dir); err != nil {
		return err
	}
	return os.MkdirAll(k.dir, 0o700)
}

// launch chooses free ports. If another process takes one of them first, it chooses
// others.
func (k *Kratos) launch(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		if err := k.choosePorts(); err != nil {
			return fmt.Errorf("start Ory Kratos: %w", err)
		}
		if err := k.writeConfig(); err != nil {
			return fmt.Errorf("start Ory Kratos: %w", err)
		}
		if attempt == 1 {
			if err := k.migrate(ctx); err != nil {
				return fmt.Errorf("migrate Ory Kratos' database: %w", err)
			}
		}
		err := k.Start(ctx)
		if err == nil || !errors.Is(err, errPortTaken) || attempt == 5 {
			return err
		}
	}
}

func (k *Kratos) choosePorts() (err error) {
	if k.publicPort = k.config.PublicPort; k.publicPort == 0 {
		if k.publicPort, err = port.Free(); err != nil {
			return err
		}
	}
	for k.adminPort = k.config.AdminPort; k.adminPort == 0 || k.adminPort == k.publicPort; {
		if k.adminPort, err = port.Free(); err != nil {
			return err
		}
	}
	k.PublicURL = fmt.Sprintf("http://127.0.0.1:%d", k.publicPort)
	k.AdminURL = fmt.Sprintf("http://127.0.0.1:%d", k.adminPort)
	return nil
}

// Start starts Kratos again after Stop or Kill, on the same ports and with the same data.
// It returns when Kratos is ready. If Kratos runs, it does nothing.
func (k *Kratos) Start(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process != nil && k.process.Running() {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(k.dir, kratosLogFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start Ory Kratos: %w", err)
	}
	defer func() { _ = log.Close() }() // Kratos has its own handle
	cmd := k.command("serve", "--config", k.ConfigFile)
	cmd.Stdout, cmd.Stderr = log, log
	if k.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return fmt.Errorf("start Ory Kratos: %w", err)
	}
	if err := k.waitReady(ctx); err != nil {
		k.process.Kill()
		return fmt.Errorf("start Ory Kratos: %w; it logged:\n%s", err, tail(k.Log(), 4096))
	}
	return nil
}

// command returns a kratos command that inherits almost nothing of our environment.
func (k *Kratos) command(args ...string) *exec.Cmd {
	return kratosCommand(k.program, k.dir, append([]string{"DSN=" + k.dsn()}, k.config.Env...), args...)
}

func kratosCommand(program, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "SYSTEMROOT"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// waitReady returns when both ports answer and the public one belongs to this Kratos.
func (k *Kratos) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errors.New("it was not ready within three minutes"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !k.ready(ctx) {
		select {
		case <-k.process.Done():
			if strings.Contains(tail(k.Log(), 4096), "address already in use") {
				return errPortTaken
			}
			return fmt.Errorf("it ended: %w", k.process.Err())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

func (k *Kratos) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	schemas, err := k.do(ctx, http.MethodGet, k.PublicURL+"/schemas", nil, nil)
	if err != nil || schemas.status != http.StatusOK || !strings.Contains(string(schemas.body), k.nonce) {
		return false
	}
	for _, url := range []string{k.PublicURL + "/health/ready", k.AdminURL + "/admin/health/ready"} {
		if health, err := k.do(ctx, http.MethodGet, url, nil, nil); err != nil || health.status != http.StatusOK {
			return false
		}
	}
	return k.process.Running()
}

// Stop shuts Kratos down and kills it after 5 s. Start can start it again with the same
// data.
func (k *Kratos) Stop() {
	k.each(func(p *child.Process) { p.Stop(syscall.SIGTERM, kratosPatience) })
}

// Kill kills Kratos as kill -9 does. Start can start it again with the same data.
func (k *Kratos) Kill() { k.each((*child.Process).Kill) }

// Pause freezes Kratos. Until Resume it accepts connections and does not answer.
func (k *Kratos) Pause() error { return k.signal((*child.Process).Pause) }

// Resume ends a Pause.
func (k *Kratos) Resume() error { return k.signal((*child.Process).Resume) }

// Close ends Kratos and removes its data, unless KratosConfig.Dir was given.
func (k *Kratos) Close() {
	if k.config.Dir != "" {
		k.Stop()
		return
	}
	k.Kill()
	_ = os.RemoveAll(k.dir)
}

// Log returns what Kratos has logged since it was launched.
func (k *Kratos) Log() string {
	text, err := os.ReadFile(filepath.Join(k.dir, kratosLogFile))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// each calls end with the process, if there is one. Then it closes idle connections.
func (k *Kratos) each(end func(*child.Process)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process != nil {
		end(k.process)
	}
	k.client.CloseIdleConnections()
}

func (k *Kratos) signal(send func(*child.Process) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process == nil {
		return errors.New("signal Ory Kratos: it was never started")
	}
	return send(k.process)
}
