package projection

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
)

func TestValue(t *testing.T) {
	id := symbolon.Identity{ID: "1d000000-0000-4000-8000-000000000001", State: symbolon.Active,
		Traits: json.RawMessage(`{"email":"Ann@X.io","name":{"first":"Ann"},"age":9007199254740993,"ratio":1.5,"big":1e400,"huge":9223372036854775808,"escaped":["\\u0000"],
			"tags":["a"],"people":[{"mail":"a@x.io"},{"mail":"b@x.io"}],"byNumber":{"0":"zero"},"empty":"","nul":"a\u0000b","nulls":["\u0000"],"lone":"\ud800","flag":true,"nothing":null}`),
		SchemaID: "customer", ExternalID: "ext", CreatedAt: time.Date(2025, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), Transient: json.RawMessage(`{"ref":"friend-7"}`),
		MetadataPublic: json.RawMessage(`{"plan":"gold"}`),
		Addresses:      []symbolon.Address{{Value: "a@x.io", Via: "email"}, {Value: "+1", Via: "sms", Verified: true}, {Value: "b@x.io", Via: "email", Verified: true}, {Value: "c@x.io", Via: "email", Verified: true}}}
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
		{expr: "[traits.missing, traits.email]", want: "Ann@X.io"},
		{expr: "[ traits.email,traits.missing ]", want: "Ann@X.io"},
		{expr: "[traits.missing, traits.nothing, 'a, b']", want: "a, b"},
		{expr: "[traits.missing, 42]", want: int64(42)},
		{expr: "[traits.nul, traits.email]", refused: true}, // a value that cannot be stored is a finding, and not passed over
		{expr: "[traits.empty, traits.email]", want: ""},
		{expr: "traits.tags.0", want: "a"},
		{expr: "traits.tags.1"},
		{expr: "traits.tags.00"},
		{expr: "traits.people.1.mail", want: "b@x.io"},
		{expr: "traits.byNumber.0", want: "zero"},
		{expr: "schema_id", want: "customer"},
		{expr: "organization_id"},
		{expr: "external_id", want: "ext"},
		{expr: "created_at", want: time.Date(2025, 1, 2, 2, 4, 5, 0, time.UTC)},
		{expr: "verified_phone", want: "+1"},
		{expr: "verified_emails", want: json.RawMessage(`["b@x.io","c@x.io"]`)},
		{expr: "transient_payload.ref", want: "friend-7"},
		{expr: "default(transient_payload.none, 'x')", want: "x"},
		{expr: "now", want: Now{}},
		{expr: "updated_at", want: Now{}},
	}
	for _, tt := range tests {
		t.Run(tt.expr, func(t *testing.T) {
			p, err := Parse("c", tt.expr)
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

// TestValueNotUTF8 uses invalid UTF-8. Kratos answers in UTF-8, but other sources of
// identities may not.
func TestValueNotUTF8(t *testing.T) {
	id := symbolon.Identity{Traits: json.RawMessage("{\"name\":\"Ann\",\"bad\":\"\xff\",\"worse\":[\"\xff\"]}")}
	for path, want := range map[string]Value{"traits.name": {V: "Ann"}, "traits.bad": storable("\ufffd"), "traits.worse": storable("\ufffd")} {
		if got := (Projection{Path: path}).Value(id); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, expr := range []string{"", "email", "traits", "traits.", "traits..x", "traits.a b", "'open", "'a'b'", "default(traits.x)",
		"default('a','b')", "0x10", "Inf", "1_000", "metadata_admin.x", "[]", "['x']", "[traits.a, 'x', traits.b]", "[traits.a traits.b]", "[traits.a, nope]",
		"[active, traits.a]", "[traits.a, active]", "[transient_payload.a, traits.a]", "[traits.a, transient_payload.a]", "transient_payload", "default(now, 'x')",
		"[" + strings.Repeat("traits.a, ", 9) + "'x']", "traits." + strings.Repeat("x", 65), "now()"} {
		if p, err := Parse("c", expr); err == nil {
			t.Errorf("%q became %+v", expr, p)
		}
	}
	_, faults := ParseAll(map[string]string{"a": "nope", "b": "traits.x", "c": "nope"})
	if len(faults) != 2 {
		t.Errorf("faults: %v", faults)
	}
}

func TestPaths(t *testing.T) {
	got := Paths(map[string]string{"a": "traits.x", "b": "default(traits.x, 'y')", "c": "'z'", "d": "active", "e": "now", "f": "[traits.x, traits.a.0, 'y']"})
	if !slices.Equal(got, []string{"active", "traits.a.0", "traits.x"}) {
		t.Error(got)
	}
}

// FuzzMember checks that member finds the same value as json.Unmarshal, for all bytes.
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
