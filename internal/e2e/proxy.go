package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/child"
)

// StartCaddy runs Caddy with a configuration that listens on address.
func StartCaddy(t *testing.T, address, config string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(Build(t, "caddy"), "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	StartProxy(t, cmd, address, config)
}

// StartProxy runs a proxy until the end of the test, and returns when it listens.
func StartProxy(t *testing.T, cmd *exec.Cmd, address, config string) {
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

// StartHAProxy runs HAProxy with a configuration that listens on address.
func StartHAProxy(t *testing.T, address, config string) {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program = "/usr/sbin/haproxy"
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("this test needs HAProxy: sudo apt-get install haproxy")
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	StartProxy(t, exec.Command(program, "-db", "-f", file), address, config)
}

// StartNginx runs nginx with the content of its http { … }, which listens on address.
func StartNginx(t *testing.T, address, config string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("this test needs nginx: sudo apt-get install nginx-light")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // nginx' workers run as another user
		t.Fatal(err)
	}
	config = fmt.Sprintf("daemon off;\nmaster_process off;\npid %[1]s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;\n"+
		"%[2]s\n}\n", dir, config)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	StartProxy(t, exec.Command(program, "-p", dir, "-c", file), address, config)
}
