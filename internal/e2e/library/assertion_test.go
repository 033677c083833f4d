package library

import (
	"encoding/base64"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/forwardauth/assertion"
	"github.com/symbolon-id/symbolon/internal/e2e"
)

// TestAssertionExamples runs the verifiers of examples/assertion in Go, Node and Python
// on valid and on forged assertions.
func TestAssertionExamples(t *testing.T) {
	t.Parallel()
	const issuer, audience = "http://127.0.0.1:4460", "notes"
	signer := func(change func(*assertion.Signer)) *assertion.Signer {
		s := &assertion.Signer{Issuer: issuer, Audience: audience, Secrets: secrets}
		change(s)
		return s
	}
	p := &symbolon.Principal{User: symbolon.User{ID: "user-42", Identity: "i"}, Session: symbolon.Session{ID: "s", AAL: "aal1", ExpiresAt: time.Now().Add(time.Hour)}}
	token := func(change func(*assertion.Signer)) string {
		token, err := signer(change).Assert(p)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	raw := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	bad := func(good string) map[string]string {
		parts := strings.Split(good, ".")
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{
			"another audience": token(func(s *assertion.Signer) { s.Audience = "other" }),
			"another issuer":   token(func(s *assertion.Signer) { s.Issuer = "http://evil.example" }),
			"another secret": token(func(s *assertion.Signer) {
				s.Secrets = []symbolon.Secret{symbolon.Secret("Zq8Rm3VnX5cTp1WbY7fJk2LsGd9HtE4u")}
			}),
			"a minute old": token(func(s *assertion.Signer) { s.Now = func() time.Time { return time.Now().Add(-70 * time.Second) } }),
			"another user": parts[0] + "." + raw(strings.Replace(string(claims), "user-42", "user-43", 1)) + "." + parts[2],
			"alg none":     raw(`{"alg":"none"}`) + "." + parts[1] + ".",
			"alg HS256":    raw(`{"alg":"HS256"}`) + "." + parts[1] + "." + parts[2],
			"truncated":    good[:len(good)-8],
			"no signature": parts[0] + "." + parts[1] + ".",
			"empty":        "",
		}
	}
	srv := httptest.NewServer(signer(func(*assertion.Signer) {}).JWKS())
	t.Cleanup(srv.Close)
	dir := e2e.File(t, "examples", "assertion")
	program := filepath.Join(t.TempDir(), "verify")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Dir = filepath.Join(dir, "go")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, command := range map[string][]string{"go": {program}, "node": {e2e.Node(t), filepath.Join(dir, "verify.mjs")},
		"python": {pythonProgram(t), filepath.Join(dir, "verify.py")}} {
		t.Run(name, func(t *testing.T) {
			run := func(token string) (string, error) {
				out, err := exec.Command(command[0], append(command[1:], srv.URL, issuer, audience, token)...).CombinedOutput()
				return strings.TrimSpace(string(out)), err
			}
			good := token(func(*assertion.Signer) {}) // valid for a minute
			if out, err := run(good); err != nil || out != "user-42" {
				t.Errorf("%s %v", out, err)
			}
			for what, token := range bad(good) {
				if out, err := run(token); err == nil || out == "" || strings.Contains(out, "panic") || strings.Contains(out, "Traceback") {
					t.Errorf("%s was accepted, or the program crashed: %s", what, out)
				}
			}
		})
	}
}

// pythonProgram returns the system's Python, because the packages are installed there.
func pythonProgram(t *testing.T) string {
	t.Helper()
	const path = "/usr/bin/python3"
	if out, err := exec.Command(path, "-c", "import jwt, cryptography").CombinedOutput(); err != nil {
		t.Fatalf("PyJWT is missing: run scripts/deps.sh python3-jwt python3-cryptography: %v\n%s", err, out)
	}
	return path
}
