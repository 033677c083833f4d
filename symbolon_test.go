package symbolon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/symbolon-id/symbolon"
)

func TestIdentityIDForms(t *testing.T) {
	const good = "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50"
	for _, v := range "0123456789abcdef" {
		s := good[:14] + string(v) + good[15:]
		if id, err := symbolon.ParseIdentityID(s); err != nil || string(id) != s {
			t.Errorf("%s: %v", s, err)
		}
	}
	if id, err := symbolon.ParseIdentityID(strings.ToUpper(good)); err != nil || string(id) != good {
		t.Errorf("upper case: %q, %v", id, err)
	}
	bad := []string{"", "00000000-0000-0000-0000-000000000000", "{" + good + "}", "urn:uuid:" + good, good[:35], good + "0", strings.ReplaceAll(good, "-", ""),
		good[:35] + "\x00", good[:35] + "g", " " + good, good + " ", good + "\n", strings.Replace(good, "-", "_", 1),
		good[:34] + "é", "0000-----0a00-0000-0000-000000000000", "3f1b6a528-f3e-4a8b-9d67-5b1c2d3e4f50", "null", "0", "true", "[]"}
	for _, s := range bad {
		if id, err := symbolon.ParseIdentityID(s); err == nil {
			t.Errorf("%q became %q", s, id)
		} else if len(err.Error()) > 300 {
			t.Errorf("the error repeats too many of the caller's bytes: %d", len(err.Error()))
		}
	}
}

func TestUserIDForms(t *testing.T) {
	if n, err := symbolon.UserID("-9223372036854775808").Int64(); err != nil || n != -9223372036854775808 {
		t.Error(n, err)
	}
	for _, s := range []symbolon.UserID{"", "042", "+42", "1.0", "9223372036854775808", "a", " 1"} {
		if n, err := s.Int64(); err == nil {
			t.Errorf("%q became %d", s, n)
		}
	}
	if _, err := symbolon.UserID("42").UUID(); err == nil {
		t.Error("42 is a UUID")
	}
}

func TestUUIDForms(t *testing.T) {
	for _, s := range []string{"00000000-0000-0000-0000-000000000000", "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50", "ffffffff-ffff-ffff-ffff-ffffffffffff"} {
		u, err := symbolon.UserID(s).UUID()
		if err != nil || string(symbolon.UserIDFromUUID(u)) != s {
			t.Errorf("%s: %s, %v", s, symbolon.UserIDFromUUID(u), err)
		}
		if upper, err := symbolon.UserID(strings.ToUpper(s)).UUID(); err != nil || upper != u {
			t.Errorf("%s in upper case: %v", s, err)
		}
	}
	for _, s := range []string{"", "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f5", "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f5g", "{3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f5}",
		"3f1b6a528-f3e-4a8b-9d67-5b1c2d3e4f50", strings.Repeat("x", 1000)} {
		if _, err := symbolon.UserID(s).UUID(); err == nil || len(err.Error()) > 220 {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestNormalEmail(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"ann@example.org", "ann@example.org"}, {"Ann@EXAMPLE.org", "ann@example.org"}, {"ann+tag@example.org", "ann+tag@example.org"},
		{"m\u00fcller@example.de", "m\u00fcller@example.de"}, {"M\u00dcLLER@example.de", "m\u00dcller@example.de"}, // Ü is not an ASCII letter
		{"\u0131an@x", "\u0131an@x"}, {"\u017fam@x", "\u017fam@x"}, {"\u0130@x", "\u0130@x"},
	} {
		if got, ok := symbolon.NormalEmail(tt.in); !ok || got != tt.want {
			t.Errorf("%q: %q %v", tt.in, got, ok)
		}
	}
	for _, bad := range []string{"", "@", "a@", "@b", "a", "a@b@c", "\u212aim@x", "mu\u0308ller@x", "\uff41@x", "a@b\uff0ec", "a @b", "a@b ", "a@b\n", "a\x00@b",
		"a\u00a0@b", "a\u00ad@b", "a\x7f@b", "a@\xff", "\u0430nn@x", string(make([]byte, 300)) + "@b"} {
		if got, ok := symbolon.NormalEmail(bad); ok {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	oldKey = symbolon.Secret("8f2d1c7ab94e60537d1fe2c4b6a89035")
	newKey = symbolon.Secret("c41e9b07d5f2836a0e7d4c1b9f385a62")
)

func TestParseSecret(t *testing.T) {
	for _, bad := range []string{"", "short", strings.Repeat("a", 64), "abababababababababababababababababab",
		"PLEASE-CHANGE-ME-I-AM-VERY-INSECURE", "your-secret-key-that-is-at-least-32-chars", "0123456789abcdef0123456789abcdef"} {
		if s, err := symbolon.ParseSecret(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, s)
		} else if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("the error has the secret: %v", err)
		}
	}
	if _, err := symbolon.ParseSecret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e"); err != nil {
		t.Error(err)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	const canary = "k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e"
	s := symbolon.Secret(canary)
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "secret", s, "list", []symbolon.Secret{s}, "config", struct{ S symbolon.Secret }{s})
	js, _ := json.Marshal(map[string]any{"s": s})
	hex := fmt.Sprintf("%x", []byte(canary))
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %X %d", s, s, s, s, s, s, s, s), log.String(), string(js),
		fmt.Sprintf("%v %+v", struct{ S symbolon.Secret }{s}, []symbolon.Secret{s})} {
		if strings.Contains(out, canary) || strings.Contains(strings.ToLower(out), hex) || strings.Contains(out, "107 50") {
			t.Errorf("the secret is printed: %s", out)
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

// A test of a handler needs neither Ory nor a database.
func ExampleWithUser() {
	notes := func(w http.ResponseWriter, r *http.Request) {
		user, _ := symbolon.UserFrom(r.Context())
		fmt.Fprintf(w, "the notes of user %s", user.ID)
	}

	r := httptest.NewRequest(http.MethodGet, "/notes", nil)
	r = r.WithContext(symbolon.WithUser(context.Background(), symbolon.User{ID: "42"}))
	w := httptest.NewRecorder()
	notes(w, r)
	fmt.Println(w.Body)
	// Output: the notes of user 42
}
