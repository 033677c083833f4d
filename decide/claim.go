package decide

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// Claim is what one place of an identity's metadata says about the identity's user. It is
// evidence, never an order.
type Claim struct {
	User  symbolon.UserID      // the ID that it names; empty: none
	Odd   symbolon.FindingKind // set if something is there that cannot be an ID
	Where string               // for the operator: metadata_public.id, external_id
}

// Present reports whether the identity claims anything at all.
func (c Claim) Present() bool { return c.User != "" || c.Odd != "" }

// maxClaim is the longest text that can be a user's key.
const maxClaim = 255

// MetadataClaim reads metadata_public.<key>. A string or an integer names a user. Null,
// "" and a missing key claim nothing. Anything else is odd.
func MetadataClaim(metadata json.RawMessage, key string) Claim {
	c := Claim{Where: "metadata_public." + key}
	if isNull(metadata) {
		return c
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(metadata, &top) != nil {
		return Claim{Odd: symbolon.MetadataNotObject, Where: "metadata_public"}
	}
	raw := bytes.TrimSpace(top[key])
	var text string
	switch isText := json.Unmarshal(raw, &text) == nil; {
	case isNull(raw), isText && text == "":
	case isText && IsKey(text):
		c.User = symbolon.UserID(text)
	case !isText && isInteger(string(raw)):
		c.User = symbolon.UserID(raw)
	default:
		c.Odd = symbolon.ForeignBackReference
	}
	return c
}

func isInteger(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// externalID is the place of an identity's external_id.
const externalID = "external_id"

func externalClaim(text string) Claim {
	c := Claim{Where: externalID}
	if IsKey(text) {
		c.User = symbolon.UserID(text)
	}
	return c
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// IsKey reports whether both databases can hold the text as a key.
func IsKey(s string) bool {
	return s != "" && len(s) <= maxClaim && !strings.ContainsRune(s, 0) && !strings.ContainsRune(s, '�')
}

// ClaimOf returns the user ID that an identity holds at the place that the proof names
// (metadata_public, external_id or the voucher). It returns "" if no ID is there, or if the
// voucher is not valid.
func ClaimOf(id symbolon.Identity, by symbolon.Proof, m *mint.Minter) symbolon.UserID {
	if key, ok := by.MetadataKey(); ok {
		return MetadataClaim(id.MetadataPublic, key).User
	}
	switch by {
	case symbolon.ByExternalID:
		return externalClaim(id.ExternalID).User
	case symbolon.ByVoucher:
		if v := claimsOf(id, "").voucher; v.User != "" && m.Vouched(v) {
			return v.User
		}
	}
	return ""
}

// claims holds everything that an identity says about its user, the strongest place first.
type claims struct {
	metadata   Claim
	external   Claim
	voucher    mint.Voucher
	hasVoucher bool // metadata_admin.symbolon holds a value, valid or not
	invite     mint.Invitation
}

func claimsOf(id symbolon.Identity, key string) claims {
	c := claims{metadata: MetadataClaim(id.MetadataPublic, key), external: externalClaim(id.ExternalID)}
	c.voucher, c.hasVoucher = mint.VoucherOf(id.MetadataAdmin)
	if !IsKey(string(c.voucher.User)) {
		c.voucher.User = ""
	}
	return c
}

// users lists the IDs that the store is asked about, in the order of atMetadata,
// atExternal, atVoucher.
func (c claims) users() []symbolon.UserID {
	return []symbolon.UserID{c.metadata.User, c.external.User, c.voucher.User}
}

// ClaimedUsers lists the IDs that the store is asked about for one decision.
func ClaimedUsers(id symbolon.Identity, p Policy) []symbolon.UserID {
	users := claimsOf(id, p.Key).withInvite(id, p).users()
	if p.Answer.Known() {
		users = append(users, p.Answer.User)
	}
	return users
}

// The places of the claims in Query.Claims and Evidence.Claims.
const (
	atMetadata = iota
	atExternal
	atVoucher
	atAnswer // the application's answer, if it was asked
)
