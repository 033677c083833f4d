package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSplit(t *testing.T) {
	good := map[string]string{ // document to its member "a"
		`{}`: "", ` {"a":1} `: "1", `{"A":1}`: "", "{\n\t\"b\" : \"x\\\"}\" , \"a\" : {\"a\":\"]\"} }": `{"a":"]"}`, `{"\u0061":[1, 2]}`: "[1, 2]",
		`{"A":1,"a":2}`: "2", `{"a":{"b":1,"b":2}}`: `{"b":1,"b":2}`, `{"a":"\ud800"}`: `"\ud800"`, `{"a":null}`: "null",
		keyed(few * 2)[:1] + `"a":0,` + keyed(few * 2)[1:]: "0",
	}
	for doc, want := range good {
		m, err := Split([]byte(doc))
		if a := m.Get("a"); err != nil || string(a) != want || a != nil && cap(a) != len(a) {
			t.Errorf("%s: %q, %v", doc, a, err)
		}
	}
	bad := map[string]error{
		``: errObject, `null`: errObject, `[]`: errObject, `{`: errSyntax, `{"a"}`: errSyntax, `{"a":1,}`: errSyntax, `{a:1}`: errSyntax, `{"a":1}x`: errTrailing,
		"{}\x00": errTrailing, `{"a":1,"a":1}`: errTwice, `{"\u0061":1,"a":1}`: errTwice, "{\"a\":\"\xff\"}": errEncoding, "{\"\xff\":1}": errEncoding,
		strings.Replace(keyed(few), `"31"`, `"0"`, 1): errTwice, strings.Replace(keyed(few*2), `"63"`, `"0"`, 1): errTwice, strings.Replace(keyed(few*2), `"63"`, `"62"`, 1): errTwice,
	}
	for doc, want := range bad {
		if m, err := Split([]byte(doc)); !errors.Is(err, want) || m != nil {
			t.Errorf("%q: %q, %v, want %v", doc, m, err, want)
		}
	}
}

func TestArray(t *testing.T) {
	if items, err := Array([]byte(` [1, "a]" ,{"b":[]}] `)); err != nil || string(bytes.Join(items, []byte("|"))) != `1|"a]"|{"b":[]}` {
		t.Errorf("%q, %v", items, err)
	}
	if items, err := Array([]byte(`[]`)); err != nil || len(items) > 0 {
		t.Errorf("%q, %v", items, err)
	}
	for doc, want := range map[string]error{``: errArray, `null`: errArray, `{}`: errArray, `[1,]`: errSyntax, `[1`: errSyntax, `[1]]`: errTrailing, "[\"\xff\"]": errEncoding} {
		if items, err := Array([]byte(doc)); !errors.Is(err, want) || items != nil {
			t.Errorf("%q: %q, %v, want %v", doc, items, err, want)
		}
	}
}

func TestText(t *testing.T) {
	for value, want := range map[string]string{`""`: "", `"a"`: "a", `"\u0061\n"`: "a\n", `"\ud800"`: "\ufffd"} {
		if got, ok := Text([]byte(value)); !ok || got != want {
			t.Errorf("%s: %q", value, got)
		}
	}
	for _, value := range []string{``, `null`, `1`, `{"a":1}`, `["a"]`} {
		if got, ok := Text([]byte(value)); ok {
			t.Errorf("%s: %q", value, got)
		}
	}
}

// seedAnswers adds captured answers of Ory and their requests.
func seedAnswers(f *testing.F) {
	files, err := filepath.Glob("../../ory/testdata/captures/*/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// FuzzValid compares the grammar with the standard library's, in UTF-8.
func FuzzValid(f *testing.F) {
	seedAnswers(f)
	for _, doc := range []string{"", " ", "null", "-0", "-", "01", "1.", "1.5e", "1.5E+7", `"\u12G4"`, `"\ud800"`, "\"\x1f\"", `"\x"`, `"`, `[1,]`, `[,]`,
		`{"a":1,}`, `{"a" 1}`, `{1:2}`, `{}x`, `[]]`, "\ufeff[]", "tru", "nulls", "[true,false,null]",
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
		strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001)} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s := NewSplitter(doc)
		if got, want := s.skip(0) && s.End() == nil, utf8.Valid(doc) && json.Valid(doc); got != want {
			t.Errorf("valid: %v, want %v: %q", got, want, doc)
		}
	})
}

// FuzzSplit compares with a reader that uses the standard library's tokens.
func FuzzSplit(f *testing.F) {
	seedAnswers(f)
	for _, doc := range []string{``, `null`, `[]`, `[1, 2]`, `{}`, ` { } `, `{"a":1}`, `{"a":1,"a":[2, {"a":3}]}`, `{"a":true,"b":null}`, `{"\u0061":1}`, `{"a":1,"\u0061":2}`,
		`{"":"","a":"\\"}`, `{"a":1`, `{"a":1}x`, "{\"\xff\":1}", "{\"a\":\"\xff\"}", `{"a" :1 }`, `{"a":1,"A":1}`, `{"\ud800":1,"\udfff":2}`, keyed(few), keyed(2 * few)} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		want, object := slowMembers(doc)
		var got Members
		err := Each(doc, func(name, value []byte) { got = append(got, Member{name, value}) })
		if (err == nil) != object || err == nil && !same(got, want) {
			t.Fatalf("Each of %q: %q, %v, to a second reader %q, %v", doc, got, err, want, object)
		}
		names := map[string]bool{}
		for _, m := range want {
			names[string(m.Name)] = true
		}
		got, err = Split(doc)
		if (err == nil) != (object && len(names) == len(want)) || err == nil && !same(got, want) {
			t.Fatalf("Split of %q: %q, %v, to a second reader %q, %v", doc, got, err, want, object)
		}
		for _, m := range got {
			if !bytes.Equal(got.Get(string(m.Name)), m.Value) {
				t.Fatalf("%q of %q is %q", m.Name, doc, got.Get(string(m.Name)))
			}
			checkText(t, m.Value)
		}
		checkArray(t, doc)
	})
}

func same(a, b Members) bool {
	return slices.EqualFunc(a, b, func(a, b Member) bool { return bytes.Equal(a.Name, b.Name) && bytes.Equal(a.Value, b.Value) })
}

// slowMembers reads an object by the tokens of the standard library.
func slowMembers(doc []byte) (m Members, ok bool) {
	if !utf8.Valid(doc) || !json.Valid(doc) || bytes.TrimLeft(doc, " \t\r\n")[0] != '{' {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	for _, err := d.Token(); d.More(); {
		if err != nil {
			return nil, false
		}
		var name any
		var value json.RawMessage
		name, err = d.Token()
		if err == nil {
			err = d.Decode(&value)
		}
		text, _ := name.(string)
		m = append(m, Member{[]byte(text), value})
	}
	return m, true
}

func checkArray(t *testing.T, doc []byte) {
	t.Helper()
	got, err := Array(doc)
	var want []json.RawMessage
	ok := utf8.Valid(doc) && json.Unmarshal(doc, &want) == nil && want != nil
	if (err == nil) != ok || ok && !slices.EqualFunc(got, want, func(a []byte, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		t.Fatalf("Array of %q: %q, %v, to a second reader %q", doc, got, err, want)
	}
}

func checkText(t *testing.T, value []byte) {
	t.Helper()
	got, ok := Text(value)
	var want string
	isText := json.Unmarshal(value, &want) == nil && !IsNull(value)
	if ok != isText || ok && got != want {
		t.Fatalf("Text of %q: %q, %v, to a second reader %q", value, got, ok, want)
	}
}

// BenchmarkObject reads the claims of a token of Ory.
func BenchmarkObject(b *testing.B) {
	doc := []byte(`{"aud":["https://api.example.org"],"exp":1795599377,"iat":1795599317,"iss":"https://auth.example.org","jti":"9f425a8d-7efc-4768-8f23-000000000001",` +
		`"nbf":1795599317,"sid":"8f425a8d-7efc-4768-8f23-000000000001","sub":"7f425a8d-7efc-4768-8f23-000000000001","session":{"aal":"aal1","email":"person-000001@example.org"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if m, err := Object(doc); err != nil || len(m) != 9 {
			b.Fatal(err)
		}
	}
}
