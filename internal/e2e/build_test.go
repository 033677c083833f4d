package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/symbolon-id/symbolon/internal/child"
	ports "github.com/symbolon-id/symbolon/internal/port"
)

// TestBuildCaddy builds Caddy, so that the tests that need it do not wait for it.
func TestBuildCaddy(t *testing.T) {
	out, err := exec.Command(build(t, "caddy"), "version").Output()
	if err != nil || !strings.Contains(string(out), "v2.") {
		t.Errorf("%s %v", out, err)
	}
}

// build returns the path of a program: the one that SYMBOLON_CADDY names, or
// SYMBOLON_OATHKEEPER, or one that is built of the module internal/NAME the first time,
// in about a minute of two cores, and kept in the user's cache folder.
func build(t *testing.T, name string) string {
	t.Helper()
	if path := os.Getenv("SYMBOLON_" + strings.ToUpper(name)); path != "" {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join("..", name)
	h := sha256.New()
	for _, file := range []string{"go.mod", "go.sum", "main.go"} {
		text, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	_, _ = fmt.Fprint(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	dir := filepath.Join(cache, "symbolon", fmt.Sprintf("%s-%.6x", name, h.Sum(nil)))
	program := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lockedfile.MutexAt(dir + ".lock").Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil {
		return program
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w", "-o", program+".new", ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	return program
}

// startCaddy runs Caddy with a configuration that listens on address.
func startCaddy(t *testing.T, address, config string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(build(t, "caddy"), "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	startProxy(t, cmd, address, config)
}

// startProxy runs a proxy until the test ends, and returns when it listens.
func startProxy(t *testing.T, cmd *exec.Cmd, address, config string) {
	t.Helper()
	var log strings.Builder
	cmd.Stderr = &log
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop(syscall.SIGTERM, 5*time.Second)
		if t.Failed() {
			t.Logf("%s: %.4000s\n%s", cmd.Path, log.String(), config)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if ctx.Err() != nil || !p.Running() {
			t.Fatalf("%s did not start: %v", cmd.Path, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freeAddress is one that is free until a proxy listens there, and given to nobody else.
func freeAddress(t *testing.T) string {
	t.Helper()
	n, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", n)
}
