package link

import (
	"testing"

	"github.com/symbolon-id/symbolon"
)

func TestClaimOf(t *testing.T) {
	l := &Linker{Secrets: []symbolon.Secret{newKey}, Ory: &oryModel{admin: true}, Store: newMemory(symbolon.ByDatabase)}
	v, err := l.Voucher("4")
	if err != nil {
		t.Fatal(err)
	}
	good := symbolon.Identity{MetadataPublic: []byte(`{"id":2,"user":"3"}`), ExternalID: "1", MetadataAdmin: []byte(`{"symbolon":{"user":"4","proof":"` + v.Proof + `"}}`)}
	forged := symbolon.Identity{MetadataAdmin: []byte(`{"symbolon":{"user":"5","proof":"` + v.Proof + `"}}`)}
	for _, tt := range []struct {
		id   symbolon.Identity
		by   symbolon.Proof
		want symbolon.UserID
	}{{good, symbolon.ByExternalID, "1"}, {good, "metadata_public.id", "2"}, {good, "metadata_public.user", "3"}, {good, "metadata_public.none", ""},
		{good, symbolon.ByVoucher, "4"}, {forged, symbolon.ByVoucher, ""}, {good, symbolon.ByVerifiedEmail, ""}, {good, symbolon.ByIdentityColumn, ""}, {good, "column:x", ""}} {
		if got := l.ClaimOf(tt.id, tt.by); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.by, got, tt.want)
		}
	}
}
