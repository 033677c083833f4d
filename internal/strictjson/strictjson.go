// Package strictjson refuses the JSON that two readers may understand
// differently. The standard library takes the last of two equal keys, matches
// keys without regard to case and ignores what follows the document; a proxy, a
// database or a log may see something else in the same bytes.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of one document.
const (
	MaxDepth = 32
	MaxKeys  = 1_000 // over all objects
)

// Check reports what is wrong with a document: not one JSON value in UTF-8, a key
// twice in one object (in any spelling), too deep, too many keys.
func Check(doc []byte) error {
	if !utf8.Valid(doc) {
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	c := checker{d: d}
	if err := c.value(0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

// Unmarshal checks doc and decodes it into v. Keys count only in the exact
// spelling of the json tag; unknown ones are ignored.
func Unmarshal(doc []byte, v any) error {
	if err := Check(doc); err != nil {
		return err
	}
	if err := json.Unmarshal(doc, v); err != nil {
		return fmt.Errorf("it has another shape: %w", shape(err))
	}
	return nil
}

// Object checks doc, which must be an object, and returns its members by the
// exact spelling of their keys.
func Object(doc []byte) (map[string]json.RawMessage, error) {
	if err := Check(doc); err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(doc, &m); err != nil || m == nil {
		return nil, errors.New("it is not an object")
	}
	return m, nil
}

type checker struct {
	d    *json.Decoder
	keys int
}

func (c *checker) value(depth int) error {
	t, err := c.d.Token()
	if err != nil {
		return syntax(err)
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth >= MaxDepth {
		return fmt.Errorf("it is more than %d levels deep", MaxDepth)
	}
	var seen map[string]bool
	if open == '{' {
		seen = map[string]bool{}
	}
	for c.d.More() {
		if open == '{' {
			if err := c.key(seen); err != nil {
				return err
			}
		}
		if err := c.value(depth + 1); err != nil {
			return err
		}
	}
	_, err = c.d.Token()
	return syntax(err)
}

func (c *checker) key(seen map[string]bool) error {
	t, err := c.d.Token()
	if err != nil {
		return syntax(err)
	}
	key, _ := t.(string)
	folded := strings.ToLower(key)
	if seen[folded] {
		return errors.New("a key stands twice in one object")
	}
	seen[folded] = true
	if c.keys++; c.keys > MaxKeys {
		return fmt.Errorf("it has more than %d keys", MaxKeys)
	}
	return nil
}

// syntax hides the offending bytes: they may hold a secret.
func syntax(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("it is not valid JSON")
}

func shape(err error) error {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Errorf("%s must be a %s", t.Field, t.Type)
	}
	return errors.New("it does not fit")
}
