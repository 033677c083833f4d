package symbolontest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest"
)

const password = "correct horse battery"

func TestBuildKratos(t *testing.T) {
	paths := make(chan string, 8)
	for range cap(paths) {
		go func() {
			path, err := symbolontest.BuildKratos(t.Context())
			if err != nil {
				t.Error(err)
			}
			paths <- path
		}()
	}
	first := <-paths
	for range cap(paths) - 1 {
		if path := <-paths; path != first {
			t.Errorf("built %s and %s", first, path)
		}
	}
	if _, err := os.Stat(first); err != nil {
		t.Fatal(err)
	}
}

func TestBuildKratosTakesGivenProgram(t *testing.T) {
	t.Setenv("SYMBOLON_KRATOS", "/nonexistent/kratos")
	if path, err := symbolontest.BuildKratos(t.Context()); err == nil {
		t.Fatalf("SYMBOLON_KRATOS names a missing program, but got %s", path)
	}
	program := filepath.Join(t.TempDir(), "kratos")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SYMBOLON_KRATOS", program)
	if path, err := symbolontest.BuildKratos(t.Context()); err != nil || path != program {
		t.Fatalf("got %s, %v", path, err)
	}
}

// TestKratosModuleIsCarried checks that the text in symbolontest equals the nested module
// internal/kratos.
func TestKratosModuleIsCarried(t *testing.T) {
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		module, err := os.ReadFile("../internal/kratos/" + name)
		if err != nil {
			t.Fatal(err)
		}
		carried, err := os.ReadFile("kratosmod/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(module, carried) {
			t.Errorf("internal/kratos/%[1]s differs from symbolontest/kratosmod/%[1]s.txt: cp the first over the second", name)
		}
	}
}

func TestKratosPeople(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k := symbolontest.StartKratos(t, symbolontest.KratosConfig{})

	ada, err := k.Register(ctx, "Ada@Example.com", password, "Ada")
	if err != nil {
		t.Fatal(err)
	}
	if ada.IdentityID == "" || ada.Token == "" || ada.SessionID == "" || ada.Status != http.StatusOK {
		t.Fatalf("registered %+v", ada)
	}
	expectWhoami(t, k, ada.Token, http.StatusOK)

	var refused *symbolontest.KratosError
	if _, err := k.Register(ctx, "ada@example.com", password, "Ada II"); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
		t.Fatalf("registration with an address that is in use: %v", err)
	}
	if _, err := k.Login(ctx, "ada@example.com", "wrong horse battery"); !errors.As(err, &refused) {
		t.Fatalf("a wrong password: %v", err)
	}

	again, err := k.Login(ctx, "ada@example.com", password)
	if err != nil {
		t.Fatal(err)
	}
	if again.IdentityID != ada.IdentityID || again.Token == ada.Token {
		t.Fatalf("logged in %+v", again)
	}
	if err := k.Logout(ctx, again.Token); err != nil {
		t.Fatal(err)
	}
	expectWhoami(t, k, again.Token, http.StatusUnauthorized)
	expectWhoami(t, k, ada.Token, http.StatusOK)

	cookie, err := k.LoginBrowser(ctx, "ada@example.com", password)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.PublicURL+"/sessions/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.AddCookie(cookie)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("whoami with the cookie %s: %d", cookie.Name, response.StatusCode)
	}
}

func TestKratosAdmin(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k := symbolontest.StartKratos(t, symbolontest.KratosConfig{})

	id, err := k.CreateIdentity(ctx, map[string]any{"schema_id": "default", "traits": map[string]any{"email": "b@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	ops := []map[string]any{{"op": "add", "path": "/metadata_public/id", "value": "42"}}
	if err := k.PatchIdentity(ctx, id, ops); err != nil {
		t.Fatal(err)
	}
	if got := publicID(t, k, id); got != "42" {
		t.Fatalf("metadata_public.id is %q", got)
	}
	if count, err := k.CountIdentities(ctx); err != nil || count != 1 {
		t.Fatalf("%d identities, %v", count, err)
	}
	if err := k.DeleteIdentity(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, status, err := k.GetIdentity(ctx, id); err != nil || status != http.StatusNotFound {
		t.Fatalf("a deleted identity: %d, %v", status, err)
	}
	var people []map[string]any
	for n := range 501 { // more than one request
		people = append(people, map[string]any{"schema_id": "default", "traits": map[string]any{"email": fmt.Sprintf("p%d@example.com", n)}})
	}
	ids, err := k.CreateIdentities(ctx, people)
	if err != nil || len(ids) != len(people) {
		t.Fatalf("%d identities, %v", len(ids), err)
	}
	if raw, status, err := k.GetIdentity(ctx, ids[500]); err != nil || status != http.StatusOK || !strings.Contains(string(raw), "p500@example.com") {
		t.Errorf("the last identity: %d %s %v", status, raw, err)
	}
	if _, err := k.CreateIdentities(ctx, people[:1]); err == nil {
		t.Error("two identities with one address: no error")
	}
	var refused *symbolontest.KratosError
	if err := k.DeleteIdentity(ctx, id); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Fatalf("deleted twice: %v", err)
	}
}

func TestKratosRestartKeepsData(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k := symbolontest.StartKratos(t, symbolontest.KratosConfig{})
	ada, err := k.Register(ctx, "ada@example.com", password, "Ada")
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(){"stop": k.Stop, "kill": k.Kill} {
		url := k.PublicURL
		end()
		if _, _, err := k.Whoami(ctx, ada.Token); err == nil {
			t.Errorf("%s: Kratos still answers", name)
		}
		if err := k.Start(ctx); err != nil {
			t.Fatalf("start after %s: %v", name, err)
		}
		if k.PublicURL != url {
			t.Errorf("moved from %s to %s", url, k.PublicURL)
		}
		expectWhoami(t, k, ada.Token, http.StatusOK)
	}
}

func TestKratosPause(t *testing.T) {
	t.Parallel()
	k := symbolontest.StartKratos(t, symbolontest.KratosConfig{})
	if err := k.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, status, err := k.Whoami(ctx, "nobody"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen Kratos answered %d, %v", status, err)
	}
	if err := k.Resume(); err != nil {
		t.Fatal(err)
	}
	expectWhoami(t, k, "nobody", http.StatusUnauthorized)
}

// TestKratosDir checks that a kept folder keeps identities and sessions.
func TestKratosDir(t *testing.T) {
	t.Parallel()
	config := symbolontest.KratosConfig{Dir: t.TempDir()}
	first, err := symbolontest.LaunchKratos(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ada, err := first.Register(t.Context(), "ada@example.com", password, "Ada")
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	expectWhoami(t, symbolontest.StartKratos(t, config), ada.Token, http.StatusOK)
}

func TestKratosOnPostgres(t *testing.T) {
	t.Parallel()
	config := symbolontest.KratosConfig{DSN: symbolontest.SharedPostgres(t).NewDatabase(t)}
	k := symbolontest.StartKratos(t, config)
	ada, err := k.Register(t.Context(), "ada@example.com", password, "Ada")
	if err != nil {
		t.Fatal(err)
	}
	expectWhoami(t, k, ada.Token, http.StatusOK)
}

func expectWhoami(t *testing.T, k *symbolontest.Kratos, token string, want int) {
	t.Helper()
	if body, status, err := k.Whoami(t.Context(), token); err != nil || status != want {
		t.Fatalf("whoami: %d, %v, want %d: %s", status, err, want, body)
	}
}

// publicID is metadata_public.id as the admin API shows it.
func publicID(t *testing.T, k *symbolontest.Kratos, id string) string {
	t.Helper()
	body, status, err := k.GetIdentity(t.Context(), id)
	if err != nil || status != http.StatusOK {
		t.Fatalf("get identity %s: %d, %v", id, status, err)
	}
	var identity struct {
		Metadata struct{ ID string } `json:"metadata_public"`
	}
	if err := json.Unmarshal(body, &identity); err != nil {
		t.Fatal(err)
	}
	return identity.Metadata.ID
}
