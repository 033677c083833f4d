package mint

import (
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
)

// TestInvites checks that each kind of proof is accepted as itself only, by the project and the
// secrets that made it.
func TestInvites(t *testing.T) {
	m := NewMinter("default", newKey, oldKey)
	must := func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, user := range []symbolon.UserID{"42", "a.b", "ü \"", symbolon.UserID(strings.Repeat("x", 255))} {
		invite := must(m.Invite(user, testNow))
		if i, ok := m.ReadInvite(invite); !ok || i != (Invitation{user, testNow}) || strings.Trim(invite, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
			t.Errorf("%s: %+v %v", invite, i, ok)
		}
		for _, at := range []time.Time{testNow, {}} {
			if i, ok := m.ReadInvited(must(m.Invited(Invitation{user, at}))); !ok || i != (Invitation{user, at}) {
				t.Errorf("%+v %v", i, ok)
			}
		}
	}
	if _, ok := m.ReadInvite(must(NewMinter("default", oldKey).Invite("42", testNow))); !ok {
		t.Error("an invite of the previous secret is refused")
	}
	invite, proof := must(m.Invite("42", testNow)), must(m.Invited(Invitation{"42", testNow}))
	voucher, _ := m.Voucher("42")
	reserved := must(m.Reserve("42"))
	mac := func(text string) string { return text[strings.LastIndexByte(text, '.')+1:] }
	body := strings.TrimSuffix(strings.TrimPrefix(invite, invitePrefix), mac(invite))
	bad := map[string]string{
		"of another project":   must(NewMinter("other", newKey).Invite("42", testNow)),
		"of an unknown secret": must(NewMinter("default", symbolon.Secret("an-unknown-secret-of-32-bytes-xx")).Invite("42", testNow)),
		"of another user":      strings.Replace(invite, "NDI", "NDM", 1),
		"with another time":    strings.Replace(invite, ".17", ".18", 1),
		"with a sign":          strings.Replace(invite, ".17", ".+17", 1),
		"cut":                  invite[:len(invite)-1],
		"longer":               invite + "A",
		"empty":                "",
		"the prefix":           invitePrefix,
		"of another version":   "i2." + strings.TrimPrefix(invite, invitePrefix),
		"without a user":       must(m.Invite("", testNow)),
		"too long":             must(m.Invite(symbolon.UserID(strings.Repeat("x", 600)), testNow)),
		"the proof of one":     proof,
		"the proof, renamed":   invitePrefix + strings.TrimPrefix(proof, invitedPrefix),
		"a voucher":            voucher.Proof,
		"a voucher, renamed":   invitePrefix + body + mac(voucher.Proof),
		"a reserved proof":     invitePrefix + body + mac(reserved),
	}
	for name, text := range bad {
		if _, ok := m.ReadInvite(text); ok {
			t.Errorf("an invite %s is accepted", name)
		}
	}
	for name, text := range map[string]string{"an invite": invite, "an invite, renamed": invitedPrefix + strings.TrimPrefix(invite, invitePrefix),
		"a reserved proof": invitedPrefix + body + mac(reserved), "a voucher": invitedPrefix + body + mac(voucher.Proof)} {
		if _, ok := m.ReadInvited(text); ok {
			t.Errorf("%s is accepted as the proof of an invite", name)
		}
	}
	for _, text := range []string{invite, proof} {
		if m.Vouched(Voucher{"42", text}) || m.Vouched(Voucher{"42", voucherPrefix + mac(text)}) {
			t.Error("an invite is accepted as a voucher")
		}
		if m.Reserved("42", text) || m.Reserved("42", reservedPrefix+mac(text)) {
			t.Error("an invite is accepted as a reserved proof")
		}
	}
	keys := map[string]bool{}
	for _, key := range [][]byte{m.ids[0], m.vouchers[0], m.reserved[0], m.invites[0], m.invited[0]} {
		keys[string(key)] = true
	}
	if len(keys) != 5 {
		t.Error("two kinds of proof have one key")
	}
	if _, err := NewMinter("default").Invite("42", testNow); err == nil {
		t.Error("a minter without a secret made an invite")
	}
	if _, ok := NewMinter("default").ReadInvite(invite); ok {
		t.Error("a minter without a secret accepted an invite")
	}
}

// TestOurs checks which members of metadata_public the reserve hook writes.
func TestOurs(t *testing.T) {
	for name, want := range map[string]bool{"id": true, ReservedKey("id"): true, InvitedKey("id"): true, "": false, "i": false, "id2": false, "xid": false, "id_": false, "_invited": false} {
		if Ours([]byte(name), "id") != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
