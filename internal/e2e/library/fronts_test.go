package library

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/e2e"
)

// proxies are the proxies that run with the shipped configuration. Traefik cannot be
// built from modules alone, so it runs only if SYMBOLON_TRAEFIK names a Traefik of 3.7.12
// or newer.
var proxies = func() []string {
	all := []string{"nginx", "caddy", "haproxy"}
	if os.Getenv("SYMBOLON_TRAEFIK") != "" {
		all = append(all, "traefik")
	}
	return all
}()

// start runs a proxy that asks Symbolon with this policy, and returns the proxy's
// address.
func (b *behind) start(proxy, policy string) string {
	b.t.Helper()
	address := e2e.FreeAddress(b.t)
	_, port, _ := net.SplitHostPort(address)
	switch proxy {
	case "nginx":
		config := b.shipped(address, "nginx/nginx.conf", "http://symbolon/auth;", "http://symbolon"+policy+";")
		if b.nginxLogin {
			const hidden = "# To send browsers to the login page add: "
			if !strings.Contains(config, hidden) {
				b.t.Fatalf("nginx.conf does not contain %q", hidden)
			}
			config = strings.Replace(config, hidden, "", 1)
			config = strings.Replace(config, "location @unavailable", pageLine(b.t, "behind-nginx.md", "location @login")+"\n    location @unavailable", 1)
		}
		e2e.StartNginx(b.t, address, config)
	case "caddy":
		e2e.StartCaddy(b.t, address, b.shipped(address, "caddy/Caddyfile", "http://:8080", "http://:"+port, "uri /auth\n", "uri "+policy+"\n"))
	case "haproxy":
		balancer := e2e.FreeAddress(b.t)
		script := e2e.File(b.t, "examples", "proxies", "haproxy", "symbolon.lua")
		e2e.StartHAProxy(b.t, address, b.shipped(address, "haproxy/haproxy.cfg", "/etc/haproxy/symbolon.lua", script,
			"127.0.0.1:4459/auth\n", balancer+policy+"\n", "127.0.0.1:4459\n", balancer+"\n"))
	case "traefik":
		startTraefik(b.t, address, b.shipped(address, "traefik/traefik.yml"), b.shipped(address, "traefik/symbolon.yml", "127.0.0.1:4460/auth\"", b.auth.Listener.Addr().String()+policy+"\""))
	}
	b.took()
	return address
}

// shipped returns a file of examples/proxies with the addresses of this test. pairs are
// old and new texts; each old text must be in the file.
func (b *behind) shipped(address, file string, pairs ...string) string {
	b.t.Helper()
	app := b.elsewhere
	if app == "" {
		app = b.app.Listener.Addr().String()
	}
	text := example(b.t, strings.Split(file, "/")...)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			b.t.Fatalf("%s does not contain %q", file, pairs[i])
		}
	}
	pairs = append(pairs, "127.0.0.1:4460", b.auth.Listener.Addr().String(), "127.0.0.1:3000", app, "127.0.0.1:8080", address)
	text = strings.NewReplacer(pairs...).Replace(text)
	if b.change != nil {
		text = b.change(text)
	}
	return text
}

// startTraefik runs Traefik with a static and a dynamic configuration. It listens on
// address.
func startTraefik(t *testing.T, address, static, dynamic string) {
	t.Helper()
	cmd := exec.Command(os.Getenv("SYMBOLON_TRAEFIK"), "--configfile=traefik.yml")
	cmd.Dir = t.TempDir()
	for name, text := range map[string]string{"traefik.yml": static, "symbolon.yml": dynamic} {
		if err := os.WriteFile(filepath.Join(cmd.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e2e.StartProxy(t, cmd, address, dynamic)
	for range 1500 { // Traefik listens before it has read its dynamic configuration
		res, err := http.Get("http://" + address) //nolint:noctx // t.Fatal below
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("Traefik has no router")
}
