package mint

import (
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
)

var (
	testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	oldKey  = symbolon.Secret("8f2d1c7ab94e60537d1fe2c4b6a89035")
	newKey  = symbolon.Secret("c41e9b07d5f2836a0e7d4c1b9f385a62")
)

func TestMinted(t *testing.T) {
	m := NewMinter("default", newKey, oldKey)
	id := m.Mint(testNow)
	tests := []struct {
		name   string
		minter *Minter
		id     symbolon.UserID
		want   bool
	}{
		{"its own", m, id, true},
		{"by the previous secret", m, NewMinter("default", oldKey).Mint(testNow), true},
		{"by a secret that the minter lacks", NewMinter("default", oldKey), id, false},
		{"of another project", NewMinter("other", newKey), id, false},
		{"without a secret", NewMinter("default"), id, false},
		{"upper case", m, symbolon.UserID(strings.ToUpper(string(id))), false},
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
		if m.Minted(symbolon.UserIDFromUUID(flipped)) {
			t.Errorf("accepted as minted with bit %d flipped", bit)
		}
	}
}

func TestMintMakesSortedUUIDv7s(t *testing.T) {
	m := NewMinter("default", newKey)
	seen := map[symbolon.UserID]bool{}
	last := symbolon.UserID("")
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

func TestMintInOneMillisecond(t *testing.T) {
	m := NewMinter("default", newKey)
	seen := map[symbolon.UserID]bool{}
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
		t.Error("a minter without a secret made a voucher")
	}
	if NewMinter("default").Vouched(Voucher{User: "42", Proof: "v1."}) {
		t.Error("a minter without a secret accepted a voucher")
	}
}
