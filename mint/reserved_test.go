package mint

import (
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
)

func TestReserved(t *testing.T) {
	m := NewMinter("default", newKey, oldKey)
	proof, err := m.Reserve("42")
	if err != nil {
		t.Fatal(err)
	}
	if !m.Reserved("42", proof) {
		t.Error("its own proof is refused")
	}
	if old, _ := NewMinter("default", oldKey).Reserve("42"); !m.Reserved("42", old) {
		t.Error("a proof of the previous secret is refused")
	}
	voucher, err := m.Voucher("42")
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.TrimPrefix(proof, reservedPrefix)
	for name, bad := range map[string]struct{ user, proof string }{
		"of another ID":            {"43", proof},
		"of an ID with a zero":     {"042", proof},
		"cut":                      {"42", proof[:len(proof)-1]},
		"empty":                    {"42", ""},
		"the prefix":               {"42", reservedPrefix},
		"without the prefix":       {"42", bare},
		"of another version":       {"42", "r2." + bare},
		"a voucher":                {"42", voucher.Proof},
		"a voucher with a new tag": {"42", reservedPrefix + strings.TrimPrefix(voucher.Proof, voucherPrefix)},
	} {
		if m.Reserved(symbolon.UserID(bad.user), bad.proof) {
			t.Errorf("a proof %s is accepted", name)
		}
	}
	if m.Vouched(Voucher{User: "42", Proof: voucherPrefix + bare}) {
		t.Error("a reserved proof is accepted as a voucher")
	}
	if NewMinter("other", newKey).Reserved("42", proof) {
		t.Error("another project's proof is accepted")
	}
	if NewMinter("default", oldKey).Reserved("42", proof) {
		t.Error("a proof of a secret that the minter lacks is accepted")
	}
	if _, err := NewMinter("default").Reserve("42"); err == nil {
		t.Error("a minter without a secret made a proof")
	}
	if NewMinter("default").Reserved("42", reservedPrefix) {
		t.Error("a minter without a secret accepted a proof")
	}
}
