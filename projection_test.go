package symbolon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestProjectionValue(t *testing.T) {
	id := Identity{ID: alice, State: Active,
		Traits: json.RawMessage(`{"email":"Ann@X.io","name":{"first":"Ann"},"age":9007199254740993,"ratio":1.5,"big":1e400,"huge":9223372036854775808,"escaped":["\\u0000"],
			"tags":["a"],"nul":"a\u0000b","nulls":["\u0000"],"lone":"\ud800","flag":true,"nothing":null}`),
		MetadataPublic: json.RawMessage(`{"plan":"gold"}`),
		Addresses:      []Address{{Value: "a@x.io", Via: "email"}, {Value: "+1", Via: "sms", Verified: true}, {Value: "b@x.io", Via: "email", Verified: true}}}
	tests := []struct {
		expr    string
		want    any
		refused bool
	}{
		{expr: "traits.email", want: "Ann@X.io"},
		{expr: "traits.name.first", want: "Ann"},
		{expr: "traits.name", want: json.RawMessage(`{"first":"Ann"}`)},
		{expr: "traits.tags", want: json.RawMessage(`["a"]`)},
		{expr: "traits.age", want: int64(9007199254740993)},
		{expr: "traits.ratio", want: 1.5},
		{expr: "traits.big", refused: true},
		{expr: "traits.huge", refused: true},
		{expr: "traits.escaped", want: json.RawMessage(`["\\u0000"]`)},
		{expr: "traits.flag", want: true},
		{expr: "traits.nothing"},
		{expr: "traits.missing"},
		{expr: "traits.email.deeper"},
		{expr: "traits.nul", refused: true},
		{expr: "traits.nulls", refused: true},
		{expr: "traits.lone", refused: true},
		{expr: "metadata_public.plan", want: "gold"},
		{expr: "active", want: true},
		{expr: "verified_email", want: "b@x.io"},
		{expr: "default(traits.missing, 'x, y')", want: "x, y"},
		{expr: "default(traits.email, 'x')", want: "Ann@X.io"},
		{expr: "default( traits.nothing , 7 )", want: int64(7)},
		{expr: "'it''s free'", want: "it's free"},
		{expr: "''", want: ""},
		{expr: "42", want: int64(42)},
		{expr: "-1.5", want: -1.5},
		{expr: "true", want: true},
		{expr: "null"},
	}
	for _, tt := range tests {
		t.Run(tt.expr, func(t *testing.T) {
			p, err := ParseProjection("c", tt.expr)
			if err != nil {
				t.Fatal(err)
			}
			got := p.Value(id)
			if !reflect.DeepEqual(got.V, tt.want) || (got.Refused != "") != tt.refused {
				t.Errorf("got %#v refused %q, want %#v", got.V, got.Refused, tt.want)
			}
		})
	}
}

func TestParseProjectionRefuses(t *testing.T) {
	for _, expr := range []string{"", "email", "traits", "traits.", "traits..x", "traits.a b", "'open", "'a'b'", "default(traits.x)",
		"default('a','b')", "0x10", "Inf", "1_000", "metadata_admin.x", "traits." + strings.Repeat("x", 65), "now()"} {
		if p, err := ParseProjection("c", expr); err == nil {
			t.Errorf("%q became %+v", expr, p)
		}
	}
	_, faults := ParseProjections(map[string]string{"a": "nope", "b": "traits.x", "c": "nope"})
	if len(faults) != 2 {
		t.Errorf("faults: %v", faults)
	}
}

func TestPaths(t *testing.T) {
	got := Paths(map[string]string{"a": "traits.x", "b": "default(traits.x, 'y')", "c": "'z'", "d": "active"})
	if !slices.Equal(got, []string{"active", "traits.x"}) {
		t.Error(got)
	}
}

func TestIdentityIDForms(t *testing.T) {
	const good = "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50"
	for _, v := range "0123456789abcdef" {
		s := good[:14] + string(v) + good[15:]
		if id, err := ParseIdentityID(s); err != nil || string(id) != s {
			t.Errorf("%s: %v", s, err)
		}
	}
	if id, err := ParseIdentityID(strings.ToUpper(good)); err != nil || string(id) != good {
		t.Errorf("upper case: %q, %v", id, err)
	}
	bad := []string{"", nilUUID, "{" + good + "}", "urn:uuid:" + good, good[:35], good + "0", strings.ReplaceAll(good, "-", ""),
		good[:35] + "\x00", good[:35] + "g", " " + good, good + " ", good + "\n", strings.Replace(good, "-", "_", 1),
		good[:34] + "é", "0000-----0a00-0000-0000-000000000000", "3f1b6a528-f3e-4a8b-9d67-5b1c2d3e4f50", "null", "0", "true", "[]"}
	for _, s := range bad {
		if id, err := ParseIdentityID(s); err == nil {
			t.Errorf("%q became %q", s, id)
		} else if len(err.Error()) > 300 {
			t.Errorf("the error repeats a stranger's bytes: %d of them", len(err.Error()))
		}
	}
}

func TestUserIDForms(t *testing.T) {
	if n, err := UserID("-9223372036854775808").Int64(); err != nil || n != -9223372036854775808 {
		t.Error(n, err)
	}
	for _, s := range []UserID{"", "042", "+42", "1.0", "9223372036854775808", "a", " 1"} {
		if n, err := s.Int64(); err == nil {
			t.Errorf("%q became %d", s, n)
		}
	}
	if _, err := UserID("42").UUID(); err == nil {
		t.Error("42 is a UUID")
	}
}

func FuzzParseIdentityID(f *testing.F) {
	f.Add("3F1B6A52-8f3e-4a8b-9d67-5b1c2d3e4f50")
	f.Add(nilUUID)
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentityID(s)
		if err != nil {
			return
		}
		if again, err := ParseIdentityID(string(id)); err != nil || again != id || !strings.EqualFold(s, string(id)) {
			t.Errorf("%q -> %q -> %q, %v", s, id, again, err)
		}
	})
}

// FuzzClaims: whatever stands in the metadata, it is read without a panic and
// names nobody who cannot be a key in both databases.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{``, `null`, `{}`, `{"id":"42"}`, `{"id":42}`, `{"id":{}}`, `[]`, `"x"`, `{"id":"\u0000"}`, `{"symbolon":{"user":"7","proof":"v1."}}`} {
		f.Add([]byte(s), []byte(s))
	}
	m := NewMinter("default", newKey)
	f.Fuzz(func(t *testing.T, public, admin []byte) {
		c := claimsOf(Identity{ID: alice, MetadataPublic: public, MetadataAdmin: admin}, "id")
		for _, user := range c.users() {
			if user != "" && !plausible(string(user)) {
				t.Errorf("%q names %q", public, user)
			}
		}
		if m.Vouched(c.voucher) {
			t.Errorf("%q is vouched for", admin)
		}
		plan, _ := decide(Seen{Identity: Identity{ID: alice, MetadataPublic: public, MetadataAdmin: admin}}, Held{}, policy{minter: m, key: "id", newID: ByMint, fresh: "f"})
		if plan.Action != Create {
			t.Errorf("%q, %q: %s", public, admin, fmt.Sprint(plan))
		}
	})
}

// FuzzMember: it finds what json.Unmarshal puts into a map, in whatever bytes.
func FuzzMember(f *testing.F) {
	for _, doc := range []string{``, `null`, `[]`, `"a"`, `{}`, ` { } `, `{"a":1}`, `{"a":1,"a":[2, {"a":3}]}`, "{\n\t\"b\" : \"x\\\"}\" , \"a\" : {\"a\":\"]\"} }",
		`{"a":true,"b":null}`, `{"\u0061":1}`, `{"a":1,"\u0061":2}`, `{"":"","a":"\\"}`, `{"a":1`, `{"a":1}x`, `{"a":-1.5e3}`, "{\"\xff\":1}", "{\"a\":\"\xff\"}", `{"a" :1 }`} {
		f.Add([]byte(doc), "a")
	}
	f.Add([]byte("{\"\xff\":0}"), "\xff") // json.Unmarshal reads another key
	f.Fuzz(func(t *testing.T, doc []byte, key string) {
		var all map[string]json.RawMessage
		if json.Unmarshal(doc, &all) != nil {
			all = nil
		}
		if got, want := member(doc, key), all[key]; !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("member %q of %q: %q, want %q", key, doc, got, want)
		}
	})
}

func BenchmarkMember(b *testing.B) {
	doc := json.RawMessage(`{"email":"person-000001@example.org","name":"Person Number 1"}`)
	b.ReportAllocs()
	for b.Loop() {
		if len(member(doc, "name")) == 0 {
			b.Fatal("nothing")
		}
	}
}
