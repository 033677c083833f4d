package symbolon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	oldKey = Secret("8f2d1c7ab94e60537d1fe2c4b6a89035")
	newKey = Secret("c41e9b07d5f2836a0e7d4c1b9f385a62")
)

func TestParseSecret(t *testing.T) {
	for _, bad := range []string{"", "short", strings.Repeat("a", 64), "abababababababababababababababababab",
		"PLEASE-CHANGE-ME-I-AM-VERY-INSECURE", "your-secret-key-that-is-at-least-32-chars", "0123456789abcdef0123456789abcdef"} {
		if s, err := ParseSecret(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, s)
		} else if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
	if _, err := ParseSecret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e"); err != nil {
		t.Error(err)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	const canary = "k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e"
	s := Secret(canary)
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "secret", s, "list", []Secret{s}, "config", struct{ S Secret }{s})
	js, _ := json.Marshal(map[string]any{"s": s})
	hex := fmt.Sprintf("%x", []byte(canary))
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %X %d", s, s, s, s, s, s, s, s), log.String(), string(js),
		fmt.Sprintf("%v %+v", struct{ S Secret }{s}, []Secret{s})} {
		if strings.Contains(out, canary) || strings.Contains(strings.ToLower(out), hex) || strings.Contains(out, "107 50") {
			t.Errorf("the secret prints: %s", out)
		}
	}
}

func TestDerive(t *testing.T) {
	if string(newKey.Derive("a")) == string(newKey.Derive("b")) || string(newKey.Derive("a")) == string(oldKey.Derive("a")) {
		t.Error("two uses share a key")
	}
	if again := newKey.Derive("a"); string(newKey.Derive("a")) != string(again) || len(again) != 32 {
		t.Error("the same label gives another key, or one of another length")
	}
}
