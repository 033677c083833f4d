package symbolon

import (
	"bytes"
	"encoding/json"
	"testing"
)

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
