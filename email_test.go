package symbolon

import "testing"

func TestNormalEmail(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"ann@example.org", "ann@example.org"}, {"Ann@EXAMPLE.org", "ann@example.org"}, {"ann+tag@example.org", "ann+tag@example.org"},
		{"m\u00fcller@example.de", "m\u00fcller@example.de"}, {"M\u00dcLLER@example.de", "m\u00dcller@example.de"}, // Ü is no ASCII letter
		{"\u0131an@x", "\u0131an@x"}, {"\u017fam@x", "\u017fam@x"}, {"\u0130@x", "\u0130@x"},
	} {
		if got, ok := NormalEmail(tt.in); !ok || got != tt.want {
			t.Errorf("%q: %q %v", tt.in, got, ok)
		}
	}
	for _, bad := range []string{"", "@", "a@", "@b", "a", "a@b@c", "\u212aim@x", "mu\u0308ller@x", "\uff41@x", "a@b\uff0ec", "a @b", "a@b ", "a@b\n", "a\x00@b",
		"a\u00a0@b", "a\u00ad@b", "a\x7f@b", "a@\xff", "\u0430nn@x", string(make([]byte, 300)) + "@b"} {
		if got, ok := NormalEmail(bad); ok {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// FuzzNormalEmail: it is idempotent, and changes nothing but ASCII letters.
func FuzzNormalEmail(f *testing.F) {
	f.Add("Ann@Example.org")
	f.Add("\u212aim@example.org")
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := NormalEmail(s)
		if !ok {
			return
		}
		again, ok := NormalEmail(n)
		if !ok || again != n || len(n) != len(s) {
			t.Errorf("%q, %q, %q", s, n, again)
		}
		for i := range len(s) {
			if s[i] != n[i] && (s[i] < 'A' || s[i] > 'Z' || n[i] != s[i]+32) {
				t.Errorf("%q, %q", s, n)
			}
		}
	})
}

// TestJudgeEmail: what rows with an identity's addresses say.
func TestJudgeEmail(t *testing.T) {
	id := Identity{ID: alice, Addresses: []Address{{Value: "A@x", Via: "email", Verified: true}, {Value: "b@x", Via: "email"}, {Value: "c@x", Via: "sms", Verified: true},
		{Value: "d@x", Verified: true}}}
	row := func(user UserID, email string, verified bool) Match {
		return Match{Row: Row{ID: user}, Email: email, Verified: verified}
	}
	owned := func(identity, linked IdentityID) Match {
		return Match{Row: Row{ID: "1", Identity: identity, Linked: linked}, Email: "a@x", Verified: true}
	}
	for _, tt := range []struct {
		name    string
		matches []Match
		user    UserID
		want    EmailVerdict
	}{
		{"none", nil, "", EmailUnknown},
		{"both", []Match{row("1", "a@x", true)}, "1", EmailProves},
		{"no kind is e-mail", []Match{row("1", "d@x", true)}, "1", EmailProves},
		{"not here", []Match{row("1", "a@x", false)}, "1", EmailUnverified},
		{"not at Ory", []Match{row("1", "b@x", true)}, "1", EmailUnverified},
		{"a telephone", []Match{row("1", "c@x", true)}, "", EmailUnknown},
		{"another's", []Match{row("1", "z@x", true)}, "", EmailUnknown},
		{"two", []Match{row("1", "a@x", true), row("2", "a@x", false)}, "", EmailAmbiguous},
		{"two by two addresses", []Match{row("1", "a@x", true), row("2", "b@x", false)}, "", EmailAmbiguous},
		{"one by two addresses", []Match{row("1", "b@x", true), row("1", "a@x", true)}, "1", EmailProves},
		{"owned by the row", []Match{owned(bob, "")}, "1", EmailTaken},
		{"owned by the ledger", []Match{owned("", bob)}, "1", EmailTaken},
		{"the row is ours, the ledger another's", []Match{owned(alice, bob)}, "1", EmailTaken},
		{"retired", []Match{{Row: Row{ID: "1"}, Retired: true, Email: "a@x", Verified: true}}, "1", EmailTaken},
	} {
		if user, got := JudgeEmail(id, tt.matches); got != tt.want || user != tt.user {
			t.Errorf("%s: %q %s, want %q %s", tt.name, user, got, tt.user, tt.want)
		}
	}
}

// TestSays: what an identity itself says, by place.
func TestSays(t *testing.T) {
	l := &Linker{Secrets: []Secret{newKey}, Ory: &oryModel{admin: true}, Store: newMemory(ByDatabase)}
	v, err := l.Voucher("4")
	if err != nil {
		t.Fatal(err)
	}
	good := Identity{MetadataPublic: []byte(`{"id":2,"user":"3"}`), ExternalID: "1", MetadataAdmin: []byte(`{"symbolon":{"user":"4","proof":"` + v.Proof + `"}}`)}
	forged := Identity{MetadataAdmin: []byte(`{"symbolon":{"user":"5","proof":"` + v.Proof + `"}}`)}
	for _, tt := range []struct {
		id   Identity
		by   Proof
		want UserID
	}{{good, ByExternalID, "1"}, {good, "metadata_public.id", "2"}, {good, "metadata_public.user", "3"}, {good, "metadata_public.none", ""},
		{good, ByVoucher, "4"}, {forged, ByVoucher, ""}, {good, ByVerifiedEmail, ""}, {good, ByIdentityColumn, ""}, {good, "column:x", ""}} {
		if got := l.Says(tt.id, tt.by); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.by, got, tt.want)
		}
	}
}
