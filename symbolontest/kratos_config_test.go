package symbolontest

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOverlayYAML(t *testing.T) {
	const base = "a: {keep: 1, list: [1, 2], gone: x}\nb: text\n"
	tests := map[string]struct{ over, want string }{
		"nothing":               {"", "a:\n    gone: x\n    keep: 1\n    list:\n        - 1\n        - 2\nb: text\n"},
		"maps merge":            {"a: {new: 3}", "a:\n    gone: x\n    keep: 1\n    list:\n        - 1\n        - 2\n    new: 3\nb: text\n"},
		"lists replace":         {"a: {list: [9]}", "a:\n    gone: x\n    keep: 1\n    list:\n        - 9\nb: text\n"},
		"a scalar becomes maps": {"b: {c: d}", "a:\n    gone: x\n    keep: 1\n    list:\n        - 1\n        - 2\nb:\n    c: d\n"},
		"null":                  {"a: null", "a: null\nb: text\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := overlayYAML([]byte(base), []byte(tt.over))
			if err != nil || string(got) != tt.want {
				t.Fatalf("%v, got:\n%s\nwant:\n%s", err, got, tt.want)
			}
		})
	}
	for _, bad := range []string{"- a list", "a: [", "text"} {
		if got, err := overlayYAML([]byte(base), []byte(bad)); err == nil {
			t.Errorf("overlay %q gave %s", bad, got)
		}
	}
}

func TestUIURL(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "http://127.0.0.1:1",
		"http://127.0.0.1:4455":       "http://127.0.0.1:4455",
		"https://example.com/auth/":   "https://example.com/auth",
		`http://example.com/a"b`:      "http://example.com/a%22b",
		"127.0.0.1:4455":              "",
		"/login":                      "",
		"http://example.com/?a=b":     "",
		"http://example.com/#section": "",
	} {
		got, err := uiURL(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("uiURL(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

// TestLaunchKratosRefused checks that the error contains what Kratos logged.
func TestLaunchKratosRefused(t *testing.T) {
	t.Parallel()
	k, err := LaunchKratos(t.Context(), KratosConfig{Overlay: []byte("selfservice: {no_such_key: true}")})
	if err == nil {
		k.Close()
		t.Fatal("started with an unknown key")
	}
	if !strings.Contains(err.Error(), "no_such_key") {
		t.Fatalf("does not say why: %v", err)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked twice: %v", err)
	}
	unlock()
	again, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
