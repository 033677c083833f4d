package adopt

import (
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

const ann = symbolon.IdentityID("1d000000-0000-4000-8000-000000000001")

// TestDecideLine checks the line of one identity for each combination of facts.
func TestDecideLine(t *testing.T) {
	users := func(ids ...symbolon.UserID) []symbolon.UserID { return ids }
	says := func(s ...claim) []claim { return s }
	voucher := func(user symbolon.UserID, is standing) claim { return claim{symbolon.ByVoucher, user, is} }
	external := func(user symbolon.UserID, is standing) claim { return claim{symbolon.ByExternalID, user, is} }
	column := func(user symbolon.UserID, is standing) claim { return claim{"column:legacy", user, is} }
	held := &symbolon.Link{State: symbolon.OnHold, Reason: symbolon.ClaimedByOther}
	for _, tt := range []struct {
		name  string
		facts facts
		want  string // class user by
		why   string
	}{
		{"nothing", facts{}, "alone - -", ""},
		{"on hold", facts{entry: held}, "alone - -", "on hold: claimed_by_other"},
		{"forgotten", facts{entry: &symbolon.Link{State: symbolon.Forgotten, User: "7"}, column: users("7")}, "alone 7 -", "forgotten"},
		{"linked, and the row is gone", facts{entry: &symbolon.Link{State: symbolon.Linked, User: "7"}}, "alone 7 -", "linked"},
		{"the column", facts{column: users("7")}, "column 7 identity_column", ""},
		{"the column names an identity on hold", facts{column: users("7"), entry: held}, "column 7 identity_column", ""},
		{"the column, against all other claims", facts{column: users("7"), claims: says(external("8", free)), mail: "9", verdict: decide.EmailProves}, "column 7 identity_column", ""},
		{"two rows", facts{column: users("7", "8")}, "ambiguous - -", "7, 8"},
		{"the row of a linked user", facts{taken: "7"}, "ambiguous 7 -", "another"},
		{"a voucher", facts{claims: says(voucher("7", free))}, "voucher 7 voucher", ""},
		{"a voucher of an identity on hold", facts{claims: says(voucher("7", free)), entry: held}, "voucher 7 voucher", ""},
		{"a voucher for a linked user", facts{claims: says(voucher("7", taken))}, "ambiguous 7 voucher", "another identity"},
		{"a voucher for an unknown user", facts{claims: says(voucher("7", missing))}, "alone - -", "no such user"},
		{"external_id", facts{claims: says(external("7", free))}, "named 7 external_id", ""},
		{"a column that the operator named", facts{claims: says(column("7", free))}, "named 7 column:legacy", ""},
		{"a column that names two users", facts{claims: says(column("7", free), column("8", free))}, "ambiguous - -", "column:legacy names 8"},
		{"all places name the same user", facts{claims: says(voucher("7", free), external("7", free), column("7", free)), mail: "7", verdict: decide.EmailProves}, "voucher 7 voucher", ""},
		{"external_id and column differ", facts{claims: says(external("7", free), column("8", free))}, "ambiguous - -", "external_id names 7, column:legacy names 8"},
		{"external_id names a linked user, column a free one", facts{claims: says(external("7", taken), column("8", free))}, "ambiguous - -", "names more"},
		{"external_id names no user, column does", facts{claims: says(external("7", missing), column("8", free))}, "named 8 column:legacy", ""},
		{"an address", facts{mail: "7", verdict: decide.EmailProves}, "email 7 verified_email", ""},
		{"an address that differs", facts{claims: says(external("7", free)), mail: "8", verdict: decide.EmailProves}, "ambiguous - -", "address is that of 8"},
		{"an unverified address that differs", facts{claims: says(external("7", free)), mail: "8", verdict: decide.EmailUnverified}, "named 7 external_id", ""},
		{"an unverified address", facts{mail: "7", verdict: decide.EmailUnverified}, "ambiguous 7 verified_email", "not verified"},
		{"the address of a linked user", facts{mail: "7", verdict: decide.EmailTaken}, "ambiguous 7 verified_email", "another identity"},
		{"the address of two users", facts{verdict: decide.EmailAmbiguous}, "ambiguous - verified_email", "more than one"},
		{"an address that no user has", facts{verdict: decide.EmailUnknown}, "alone - -", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.facts.identity = ann
			l := decideLine(tt.facts)
			got := strings.Join([]string{string(l.Class), or(l.User), or(l.By)}, " ")
			if got != tt.want || !strings.Contains(l.Why, tt.why) || l.Identity != ann {
				t.Errorf("%s (%q), want %s (%q)", got, l.Why, tt.want, tt.why)
			}
			binds := l.Class == Column || l.Class == Voucher || l.Class == Named || l.Class == Email
			if (l.Do == Bind) != binds || binds != (l.Why == "") && l.Class != Alone {
				t.Errorf("%+v", l)
			}
		})
	}
}

func or[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}
