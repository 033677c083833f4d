package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
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

func TestObject(t *testing.T) {
	if m, err := Object([]byte(`{"Name":1}`)); err != nil || m["name"] != nil {
		t.Error("keys are matched without regard to case")
	}
	for _, s := range []string{`[]`, `null`, `"x"`, `1`} {
		if _, err := Object([]byte(s)); err == nil {
			t.Errorf("%s was accepted as an object", s)
		}
	}
}

// FuzzCheck compares with a second reader, which uses the standard library: both accept
// the same documents, and find the same members.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":null}]}`, `{"a":1,"A":2}`, `[[[[]]]]`, `"\ud800"`, `{"":{"":1}}`, `{"a":1}{}`, `{"\u212a":1,"K":2}`, `{"é":1,"É":2}`, `{"1":-2.5e+3,"a":[0,"3\"4",[10]]}`,
		`{"\ud800":1,"\udfff":2}`, keyed(MaxKeys), keyed(MaxKeys + 1), keyed(few), strings.Replace(keyed(few+1), "31", "4", 1), strings.Repeat(`{"a":`, MaxDepth+1)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, want := Check(doc), slowCheck(doc)
		if (got == nil) != (want == nil) {
			t.Fatalf("%q: %v, to a second reader: %v", doc, got, want)
		}
		if got != nil {
			return
		}
		if numbers := slowNumbers(doc); !slices.EqualFunc(slices.Collect(Numbers(doc)), numbers, func(a []byte, b string) bool { return string(a) == b }) {
			t.Errorf("%q: the numbers %q, to a second reader %q", doc, slices.Collect(Numbers(doc)), numbers)
		}
		members, err := Object(doc)
		var others map[string]json.RawMessage
		if json.Unmarshal(doc, &others) != nil {
			others = nil
		}
		if (err == nil) != (others != nil) || !reflect.DeepEqual(members, others) {
			t.Errorf("%q: %v, %q, to a second reader %q", doc, err, members, others)
		}
		if again, err := json.Marshal(json.RawMessage(doc)); err != nil || Check(again) != nil {
			t.Errorf("%q -> %q: %v, %v", doc, again, err, Check(again))
		}
	})
}

// keyed returns an object with n keys.
func keyed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%d":%d`, i, i)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

// slowCheck is a Check that uses the standard library's tokens.
func slowCheck(doc []byte) error {
	if !utf8.Valid(doc) || !json.Valid(doc) {
		return errSyntax
	}
	keys := 0
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber() // 1e9999 is valid JSON, but not a float64
	return slowValue(d, 0, &keys)
}

// slowNumbers returns the numbers of a valid document.
func slowNumbers(doc []byte) (numbers []string) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return numbers
		}
		if n, ok := token.(json.Number); ok {
			numbers = append(numbers, n.String())
		}
	}
}

func slowValue(d *json.Decoder, depth int, keys *int) error {
	token, err := d.Token()
	open, ok := token.(json.Delim)
	if err != nil || !ok {
		return err
	}
	if depth >= MaxDepth {
		return errDeep
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			key := strings.ToLower(token.(string))
			if *keys++; seen[key] || *keys > MaxKeys {
				return errTwice
			}
			seen[key] = true
		}
		if err := slowValue(d, depth+1, keys); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
