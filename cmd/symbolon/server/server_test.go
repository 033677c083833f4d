package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// TestPublicRoutes checks exactly which routes are public.
func TestPublicRoutes(t *testing.T) {
	i := install(t, nil)
	_, token := i.ory.Add(1)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/healthz", 200, ""}, {"HEAD", "/healthz", 200, ""}, {"POST", "/healthz", 405, "GET"},
		{"GET", "/readyz", 200, ""},
		{"GET", "/auth", 200, ""}, {"POST", "/auth", 200, ""}, {"PURGE", "/auth", 200, ""}, {"OPTIONS", "/auth", 200, ""},
		{"GET", "/auth?policy=none", 200, ""}, {"GET", "/auth/optional", 200, ""}, {"GET", "/auth/aal2", 403, ""},
		{"GET", "/me", 200, ""}, {"HEAD", "/me", 200, ""}, {"POST", "/me", 405, "GET"},
		{"GET", "/hooks/reserve", 405, "POST"}, {"GET", "/hooks/link", 405, "POST"}, {"PUT", "/hooks/sync", 405, "POST"},
		{"POST", "/hooks/reserve", 401, ""}, {"POST", "/hooks/link", 401, ""}, {"POST", "/hooks/sync", 401, ""},
		{"GET", "/", 404, ""}, {"GET", "//", 404, ""}, {"GET", "/auth/", 404, ""}, {"GET", "/auth/aal2/", 404, ""}, {"GET", "//auth", 404, ""},
		{"GET", "/auth/aal3", 404, ""}, {"GET", "/auth/optional/x", 404, ""}, {"GET", "/AUTH", 404, ""}, {"GET", "/%61uth", 404, ""},
		{"GET", "/auth/%2e%2e/auth", 404, ""}, {"GET", "/x/../auth", 404, ""}, {"GET", "/me/", 404, ""}, {"GET", "/healthz/", 404, ""},
		{"POST", "/hooks/link/", 404, ""}, {"POST", "/hooks", 404, ""}, {"POST", "/hooks/events", 404, ""}, {"POST", "/hooks%2Flink", 404, ""},
		{"GET", "/metrics", 404, ""}, {"GET", "/admin/links", 404, ""}, {"POST", "/admin/links", 404, ""}, {"GET", "/admin/users/1", 404, ""},
	} {
		w := cmdtest.Ask(i.Public(), test.method, test.path, "", "X-Session-Token", token)
		if w.Code != test.status || w.Header().Get("Allow") != test.allow {
			t.Errorf("%s %s: %d (Allow %q), want %d (%q)", test.method, test.path, w.Code, w.Header().Get("Allow"), test.status, test.allow)
		}
		if w.Code >= 400 && !strings.HasPrefix(w.Body.String(), `{"error":{"code":"`) {
			t.Errorf("%s %s: %s does not have the form of an error", test.method, test.path, w.Body)
		}
		if w.Header().Get("Location") != "" || w.Header().Get("Retry-After") != "" {
			t.Errorf("%s %s: %v", test.method, test.path, w.Header())
		}
	}
}

func TestHeadersAreNamedByTheConfiguration(t *testing.T) {
	i := install(t, func(c *config.Config) { c.Auth.Headers = map[string]string{"user_id": "X-Account"} })
	_, token := i.ory.Add(1)
	w := cmdtest.Ask(i.Public(), "GET", "/auth", "", "X-Session-Token", token)
	if w.Code != 200 || w.Header().Get("X-Account") == "" || w.Header().Get("X-User-Id") != "" || w.Header().Get("X-Identity-Id") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestReadyUntilStopping(t *testing.T) {
	i := install(t, nil)
	_ = i.DB.Close() // the answers do not show an outage of the database
	i.ory.SetDown(true)
	if w := cmdtest.Ask(i.Public(), "GET", "/readyz", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	keys := system.HookKeys(i.Config)
	if w := cmdtest.Ask(i.Public(), "POST", "/hooks/reserve", `{"metadata_public":{}}`, "X-Symbolon-Key", keys.Reserve[0]); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"`) {
		t.Errorf("reserve with everything down: %d %s", w.Code, w.Body)
	}
	i.listeners.draining.Store(true)
	if w := cmdtest.Ask(i.Public(), "GET", "/readyz", ""); w.Code != 503 {
		t.Errorf("stopping: %d %s", w.Code, w.Body)
	}
}

// TestShutdownFinishesWhatItBegan checks that a running request is answered after the
// signal, and that new requests are not accepted.
func TestShutdownFinishesWhatItBegan(t *testing.T) {
	logs := &cmdtest.Buffer{}
	s := &listeners{log: cli.NewLogger(logs, slog.LevelInfo)}
	began, finish := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.run(ctx, listener{"public", "127.0.0.1:0", h}, listener{"operator", "127.0.0.1:0", h})
	}()
	address := waitForAddress(t, logs, "public")
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + address)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-began
	cancel()
	cmdtest.Eventually(t, "the server takes no new connection", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if !s.draining.Load() {
		t.Error("/readyz does not show that it stops")
	}
	time.Sleep(50 * time.Millisecond)
	select {
	case err := <-ended:
		t.Fatalf("the server stopped before the request ended: %v", err)
	default:
	}
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the request got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestDrain checks that a draining server answers new requests, closes their connections,
// and then refuses connections. Ctrl-C does not drain.
func TestDrain(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"SIGTERM": nil, "Ctrl-C": cli.ErrInterrupted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logs := &cmdtest.Buffer{}
			s := &listeners{log: cli.NewLogger(logs, slog.LevelInfo), drain: 3 * time.Second}
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answered") })
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- s.run(ctx, listener{"public", "127.0.0.1:0", h}, listener{"operator", "127.0.0.1:0", h})
			}()
			url := "http://" + waitForAddress(t, logs, "public")
			began := time.Now()
			cancel(cause)
			cmdtest.Eventually(t, "/readyz shows that it stops", s.draining.Load)
			if cause == nil {
				resp, err := http.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(body) != "answered" || !resp.Close {
					t.Errorf("%q, the connection is closed: %v", body, resp.Close)
				}
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if drained := strings.Contains(logs.String(), "draining"); drained != (cause == nil) || drained && time.Since(began) < s.drain {
				t.Errorf("it stopped after %v, drained: %v", time.Since(began), drained)
			}
			if resp, err := http.Get(url); err == nil {
				_ = resp.Body.Close()
				t.Error("it still answers")
			}
		})
	}
}

// TestSlowBodies checks that a body that arrives byte by byte is given up after ten
// seconds, without an effect on other requests.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	i := install(t, nil)
	srv := i.listeners.httpServer(listener{handler: i.Public()})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(socket) }()
	defer func() { _ = srv.Close() }()
	c, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = fmt.Fprintf(c, "POST /hooks/link HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nX-Symbolon-Key: %s\r\n\r\n", system.HookKeys(i.Config).Link[0])
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
				_, _ = c.Write([]byte(" "))
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%v %v", resp, err)
	}
}

func TestListenFails(t *testing.T) {
	s := &listeners{log: slog.New(slog.DiscardHandler)}
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	err := s.run(t.Context(), listener{"public", "127.0.0.1:0", nil}, listener{"operator", taken.Listener.Addr().String(), nil})
	if err == nil || !strings.Contains(err.Error(), "operator side") {
		t.Errorf("got %v", err)
	}
}

// waitForAddress reads a listener's address from the log.
func waitForAddress(t *testing.T, logs fmt.Stringer, side string) string {
	t.Helper()
	for range 6000 {
		lines := bufio.NewScanner(strings.NewReader(logs.String()))
		for lines.Scan() {
			var line struct{ Msg, Side, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" && line.Side == side {
				return line.Address
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the server does not listen; it logged:\n%s", logs)
	return ""
}

// TestNoSecretIsLogged sends canaries to every route, at log level debug, and searches
// the whole output for them.
func TestNoSecretIsLogged(t *testing.T) {
	i := install(t, func(c *config.Config) { c.Serve.AdminKey = cmdtest.Key })
	id, token := i.ory.Add(1)
	const canary = "cAnArYxxxxxxxxxxxxxxxxxxxxxxxxxx"
	keys := system.HookKeys(i.Config)
	secrets := append([]string{canary, cmdtest.Secret, cmdtest.Key, token, "cAnArY"}, keys.Reserve...)
	secrets = append(append(secrets, keys.Link...), keys.Sync...)
	var shown strings.Builder
	for _, down := range []bool{false, true} {
		i.ory.SetDown(down)
		for _, h := range []http.Handler{i.Public(), i.Operator()} {
			for _, path := range []string{"/auth", "/auth/aal2", "/auth/optional", "/me", "/hooks/reserve", "/hooks/link", "/hooks/sync", "/nothing", "/metrics",
				"/admin/links", "/admin/identities/" + id, "/admin/identities/" + id + "/sync", "/admin/users/1"} {
				for _, method := range []string{"GET", "POST"} {
					for _, header := range [][]string{{"X-Session-Token", token}, {"X-Session-Token", canary}, {"Cookie", "ory_kratos_session=" + canary},
						{"Authorization", "Bearer ory_st_" + canary}, {"Authorization", "Bearer " + cmdtest.Key}, {"X-Symbolon-Key", canary},
						{"X-Symbolon-Key", keys.Link[0]}, {"X-Symbolon-Key", keys.Sync[0]}, {"X-Symbolon-Key", keys.Reserve[0]}} {
						body := fmt.Sprintf(`{"identity_id":%q,"user_id":%q,"columns":{"traits.email":%q},"metadata_public":{"x":%q}}`, id, canary, canary, canary)
						w := cmdtest.Ask(h, method, path+"?token="+canary, body, header...)
						if path != "/admin/links" && path != "/hooks/reserve" { // the answer may repeat what the client sent
							_, _ = fmt.Fprintln(&shown, path, w.Code, w.Header(), w.Body)
						}
					}
				}
			}
		}
	}
	if !strings.Contains(i.logs.String(), `"msg":"request"`) {
		t.Fatal("nothing was logged")
	}
	for _, secret := range secrets {
		if n := strings.Index(i.logs.String(), secret); n >= 0 {
			t.Errorf("%s was logged: …%s", secret, cli.Clip(i.logs.String()[max(0, n-300):], 600))
		}
		if n := strings.Index(shown.String(), secret); n >= 0 {
			t.Errorf("%s was answered: …%s", secret, cli.Clip(shown.String()[max(0, n-300):], 600))
		}
	}
}
