package symbolon

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// claim is what an identity's metadata says about the user it belongs to. It is
// evidence to be weighed (decide.go), never an order.
type claim struct {
	user  UserID      // the ID it names; empty: it names none
	odd   FindingKind // set when something is there that cannot be an ID
	where string      // for the operator: metadata_public.id, external_id
}

// present reports whether the identity claims anything at all.
func (c claim) present() bool { return c.user != "" || c.odd != "" }

// maxClaim is the longest text that can be a user's key.
const maxClaim = 255

// metadataClaim reads metadata_public.<key>. A string or an integer names a
// user; null, "" and a missing key claim nothing; all else is odd.
func metadataClaim(metadata json.RawMessage, key string) claim {
	c := claim{where: "metadata_public." + key}
	if isNull(metadata) {
		return c
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(metadata, &top) != nil {
		return claim{odd: MetadataNotObject, where: "metadata_public"}
	}
	raw := bytes.TrimSpace(top[key])
	if isNull(raw) {
		return c
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if text == "" {
			return c
		}
		if !plausible(text) {
			c.odd = ForeignBackReference
			return c
		}
		c.user = UserID(text)
		return c
	}
	if _, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		c.user = UserID(raw)
		return c
	}
	c.odd = ForeignBackReference
	return c
}

func externalClaim(externalID string) claim {
	c := claim{where: "external_id"}
	if plausible(externalID) {
		c.user = UserID(externalID)
	}
	return c
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// plausible reports whether both databases can hold the text as a key.
func plausible(s string) bool {
	return s != "" && len(s) <= maxClaim && !strings.ContainsRune(s, 0) && !strings.ContainsRune(s, '�')
}

// claimOf returns the user that the identity itself names in the place that by means;
// empty: none, or a voucher without a good proof.
func claimOf(id Identity, by Proof, m *Minter) UserID {
	if key, ok := by.MetadataKey(); ok {
		return metadataClaim(id.MetadataPublic, key).user
	}
	switch by {
	case ByExternalID:
		return externalClaim(id.ExternalID).user
	case ByVoucher:
		if v := claimsOf(id, "").voucher; v.User != "" && m.Vouched(v) {
			return v.User
		}
	}
	return ""
}

// claims are all that an identity says of its user, the strongest place first.
type claims struct {
	metadata claim
	external claim
	voucher  Voucher
	hasPaper bool // metadata_admin.symbolon holds something, good or not
}

func claimsOf(id Identity, key string) claims {
	c := claims{metadata: metadataClaim(id.MetadataPublic, key), external: externalClaim(id.ExternalID)}
	c.voucher, c.hasPaper = voucherOf(id.MetadataAdmin)
	if !plausible(string(c.voucher.User)) {
		c.voucher.User = ""
	}
	return c
}

// users lists the IDs that the store is asked about. The order is that of
// claims.held.
func (c claims) users() []UserID {
	return []UserID{c.metadata.user, c.external.user, c.voucher.User}
}

// claimedUsers lists the IDs that the store is asked about for one decision.
func claimedUsers(id Identity, p policy) []UserID {
	users := claimsOf(id, p.key).users()
	if p.made.known() {
		users = append(users, p.made.user)
	}
	return users
}

// The places of the claims in Query.Claims and Held.Claims.
const (
	atMetadata = iota
	atExternal
	atVoucher
	atMade // the application's answer, where it was asked
)
