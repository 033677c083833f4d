package mint

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// Voucher proves that an identity was created for an existing user. The identity carries it
// in metadata_admin.symbolon, and the secret signs it. It is valid while the user is
// unlinked.
type Voucher struct {
	User  symbolon.UserID `json:"user"`
	Proof string          `json:"proof"`
}

const voucherPrefix = "v1."

// Voucher makes a voucher for a user.
func (m *Minter) Voucher(user symbolon.UserID) (Voucher, error) {
	if len(m.vouchers) == 0 {
		return Voucher{}, fmt.Errorf("voucher for user %s: no secret is configured", user)
	}
	return Voucher{User: user, Proof: voucherPrefix + m.proof(m.vouchers[0], user)}, nil
}

// Vouched reports whether this project made the voucher for the user that it names.
func (m *Minter) Vouched(v Voucher) bool {
	ok := 0
	for _, key := range m.vouchers {
		ok |= subtle.ConstantTimeCompare([]byte(voucherPrefix+m.proof(key, v.User)), []byte(v.Proof))
	}
	return ok == 1
}

func (m *Minter) proof(key []byte, user symbolon.UserID) string {
	mac := hmac.New(sha256.New, key)
	writePrefixed(mac, []byte(m.project))
	writePrefixed(mac, []byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// VoucherOf reads metadata_admin.symbolon. present reports whether a value is there,
// readable or not.
func VoucherOf(metadataAdmin json.RawMessage) (v Voucher, present bool) {
	if len(metadataAdmin) == 0 {
		return v, false
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(metadataAdmin, &top) != nil {
		return v, false
	}
	raw, present := top["symbolon"]
	if !present || json.Unmarshal(raw, &v) != nil {
		return Voucher{}, present
	}
	return v, true
}
