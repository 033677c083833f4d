package symbolon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

var (
	testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	oldKey  = Secret("8f2d1c7ab94e60537d1fe2c4b6a89035")
	newKey  = Secret("c41e9b07d5f2836a0e7d4c1b9f385a62")
)

func TestMintedIsAProof(t *testing.T) {
	m := NewMinter("default", newKey, oldKey)
	id := m.Mint(testNow)
	tests := []struct {
		name   string
		minter *Minter
		id     UserID
		want   bool
	}{
		{"its own", m, id, true},
		{"by the previous secret", m, NewMinter("default", oldKey).Mint(testNow), true},
		{"by a later secret that we lack", NewMinter("default", oldKey), id, false},
		{"of another project", NewMinter("other", newKey), id, false},
		{"by nobody's secret", NewMinter("default"), id, false},
		{"upper case", m, UserID(strings.ToUpper(string(id))), false},
		{"another UUIDv7", m, NewMinter("default").Mint(testNow), false},
		{"version 4", m, "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50", false},
		{"nil", m, "00000000-0000-0000-0000-000000000000", false},
		{"nothing", m, "", false},
		{"a number", m, "42", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.minter.Minted(tt.id); got != tt.want {
				t.Errorf("Minted(%s) = %v", tt.id, got)
			}
		})
	}
}

func TestMintedRefusesEveryFlippedBit(t *testing.T) {
	m := NewMinter("default", newKey)
	u, err := m.Mint(testNow).UUID()
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 128 {
		flipped := u
		flipped[bit/8] ^= 1 << (bit % 8)
		if m.Minted(UserIDFromUUID(flipped)) {
			t.Errorf("bit %d may be flipped", bit)
		}
	}
}

func TestMintIsAUUIDv7InOrder(t *testing.T) {
	m := NewMinter("default", newKey)
	seen := map[UserID]bool{}
	last := UserID("")
	for i := range 10_000 {
		id := m.Mint(testNow.Add(time.Duration(i) * time.Millisecond))
		if seen[id] || id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		if id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatalf("%s is not a UUIDv7", id)
		}
		seen[id], last = true, id
	}
}

func TestMintInOneMillisecondDoesNotRepeat(t *testing.T) {
	m := NewMinter("default", newKey)
	seen := map[UserID]bool{}
	for range 1_000 {
		seen[m.Mint(testNow)] = true
	}
	if len(seen) != 1_000 {
		t.Fatalf("%d different IDs of 1,000", len(seen))
	}
}

func TestVoucher(t *testing.T) {
	m := NewMinter("default", newKey, oldKey)
	v, err := m.Voucher("42")
	if err != nil {
		t.Fatal(err)
	}
	if !m.Vouched(v) {
		t.Error("its own voucher is refused")
	}
	if old, _ := NewMinter("default", oldKey).Voucher("42"); !m.Vouched(old) {
		t.Error("a voucher of the previous secret is refused")
	}
	for name, bad := range map[string]Voucher{
		"another user":    {User: "43", Proof: v.Proof},
		"cut":             {User: "42", Proof: v.Proof[:len(v.Proof)-1]},
		"empty":           {User: "42"},
		"another version": {User: "42", Proof: "v2." + strings.TrimPrefix(v.Proof, "v1.")},
	} {
		if m.Vouched(bad) {
			t.Errorf("%s: accepted", name)
		}
	}
	if NewMinter("other", newKey).Vouched(v) {
		t.Error("another project's voucher is accepted")
	}
	if _, err := NewMinter("default").Voucher("42"); err == nil {
		t.Error("a voucher without a secret")
	}
	if NewMinter("default").Vouched(Voucher{User: "42", Proof: "v1."}) {
		t.Error("without a secret anything is vouched for")
	}
}

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

func TestDeriveSeparatesUses(t *testing.T) {
	if string(newKey.Derive("a")) == string(newKey.Derive("b")) || string(newKey.Derive("a")) == string(oldKey.Derive("a")) {
		t.Error("two uses share a key")
	}
	if again := newKey.Derive("a"); string(newKey.Derive("a")) != string(again) || len(again) != 32 {
		t.Error("a key is not stable")
	}
}
