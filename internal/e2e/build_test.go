package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/symbolon-id/symbolon/internal/child"
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

// lastPort is where freeAddress has come to.
var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32N(10000)) }

// freeAddress is one that stays free until a proxy listens there: below the ports that
// the system gives away by itself, and below those that package symbolontest takes. None
// comes twice.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+lastPort.Add(1)%10000))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
