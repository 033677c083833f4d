package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	good := []string{`{}`, ` {"a":1} `, `[1,2]`, `"x"`, `null`, `1e5`, `{"a":{"a":1},"b":{"a":1}}`, `[{"a":1},{"a":1}]`, `{"é":"\u00e9"}`,
		strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)}
	for _, s := range good {
		if err := Check([]byte(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	bad := []string{``, ` `, `{`, `{"a"}`, `{"a":1,}`, `{"a":1}x`, `{} {}`, `{"a":1,"a":1}`, `{"a":1,"A":1}`, `{"\u0061":1,"a":1}`, "\ufeff{}",
		`NaN`, `{'a':1}`, `01`, "{\"a\":\"\xff\"}", `[1,]`, "\"a\nb\"", strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)}
	for _, s := range bad {
		if err := Check([]byte(s)); err == nil {
			t.Errorf("%q passes", s)
		} else if len(s) > 8 && strings.Contains(err.Error(), s) {
			t.Errorf("the error repeats the document: %v", err)
		}
	}
}

func TestUnmarshalAndObject(t *testing.T) {
	var v struct {
		Name string `json:"name"`
	}
	if err := Unmarshal([]byte(`{"name":"x","other":1}`), &v); err != nil || v.Name != "x" {
		t.Error(v, err)
	}
	if err := Unmarshal([]byte(`{"name":1}`), &v); err == nil || !strings.Contains(err.Error(), "name must be a string") {
		t.Error(err)
	}
	if m, err := Object([]byte(`{"Name":1}`)); err != nil || m["name"] != nil {
		t.Error("keys are matched without regard to case")
	}
	for _, s := range []string{`[]`, `null`, `"x"`, `1`} {
		if _, err := Object([]byte(s)); err == nil {
			t.Errorf("%s is an object", s)
		}
	}
}

// FuzzCheck: what passes is one valid document that the standard library reads the
// same way after a round trip.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":null}]}`, `{"a":1,"A":2}`, `[[[[]]]]`, `"\ud800"`, `{"":{"":1}}`, `{"a":1}{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if Check(doc) != nil {
			return
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber() // 1e9999 is a document, if no float64
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%q passes: %v", doc, err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(again); err != nil {
			t.Errorf("%q -> %q: %v", doc, again, err)
		}
	})
}
