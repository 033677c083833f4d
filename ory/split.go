package ory

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Ory's answers are split by hand, because the standard library would take the last of
// two equal keys, and its structs any spelling of a key: two readers could find two
// identities in the same bytes. What is split is judged on the way, as strictly as
// json.Valid does: a page of identities is walked through once.

var (
	errEncoding = errors.New("it is not UTF-8")
	errJSON     = errors.New("it is not one JSON value")
	errObject   = errors.New("it is not a JSON object")
	errArray    = errors.New("a list is not a JSON array")
	errTwice    = errors.New("a key stands twice in it")
)

// valid reports why doc is not one JSON value in UTF-8.
func valid(doc []byte) error {
	if !utf8.Valid(doc) {
		return errEncoding
	}
	s := splitter{doc: doc}
	if !s.skip(0) || s.next() != 0 || s.at < len(doc) {
		return errJSON
	}
	return nil
}

// member is one of an object's. Name and value are parts of the document, the name
// without its quotes, and unescaped if need be.
type member struct{ name, value []byte }

// fields are the members of an object, by their exact keys.
type fields []member

// get returns a member's value; nil: there is none.
func (f fields) get(key string) []byte {
	for i := range f {
		if string(f[i].name) == key {
			return f[i].value
		}
	}
	return nil
}

// object splits a document in UTF-8 that must be an object without equal keys.
func object(doc []byte) (fields, error) {
	s := splitter{doc: doc}
	return s.object(nil)
}

// array splits a document that must be an array; null and nothing are empty ones.
func array(doc []byte) ([][]byte, error) {
	if isNull(doc) {
		return nil, nil
	}
	var items [][]byte
	s := splitter{doc: doc}
	err := s.array(func() error {
		item := s.value()
		if item == nil {
			return errJSON
		}
		items = append(items, item)
		return nil
	})
	return items, err
}

// deepest is how far values may lie within each other, as for json.Valid.
const deepest = 10_000

// few is how many keys are compared each with each.
const few = 32

// splitter walks over a document.
type splitter struct {
	doc []byte
	at  int
}

// next skips white space and returns the byte that stands there, 0 at the end.
func (s *splitter) next() byte {
	for s.at < len(s.doc) {
		switch c := s.doc[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// object reads an object into f.
func (s *splitter) object(f fields) (fields, error) {
	if s.next() != '{' {
		return nil, errObject
	}
	s.at++
	if s.next() == '}' {
		s.at++
		return f, nil
	}
	var seen map[string]bool
	for {
		name, ok := s.key()
		if !ok {
			return nil, errJSON
		}
		value := s.value()
		if value == nil {
			return nil, errJSON
		}
		if seen = f.seen(seen); f.has(name, seen) {
			return nil, errTwice
		}
		if f = append(f, member{name, value}); seen != nil {
			seen[string(name)] = true
		}
		if more, ok := s.more('}'); !ok {
			return nil, errJSON
		} else if !more {
			return f, nil
		}
	}
}

func (f fields) has(name []byte, seen map[string]bool) bool {
	if seen != nil {
		return seen[string(name)]
	}
	return f.get(string(name)) != nil
}

// seen keeps a map of the keys once there are more than a few.
func (f fields) seen(seen map[string]bool) map[string]bool {
	if seen != nil || len(f) < few {
		return seen
	}
	seen = make(map[string]bool, 2*len(f))
	for _, m := range f {
		seen[string(m.name)] = true
	}
	return seen
}

// key reads a key and the colon behind it.
func (s *splitter) key() (name []byte, ok bool) {
	s.next()
	from := s.at
	if !s.skipString() {
		return nil, false
	}
	name = s.doc[from+1 : s.at-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var text string
		if json.Unmarshal(s.doc[from:s.at], &text) != nil {
			return nil, false
		}
		name = []byte(text)
	}
	if s.next() != ':' {
		return nil, false
	}
	s.at++
	return name, true
}

// array calls item where each item of an array begins.
func (s *splitter) array(item func() error) error {
	if s.next() != '[' {
		return errArray
	}
	s.at++
	if s.next() == ']' {
		s.at++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if more, ok := s.more(']'); !ok {
			return errJSON
		} else if !more {
			return nil
		}
	}
}

// more reads the comma behind a member, or the end.
func (s *splitter) more(end byte) (more, ok bool) {
	switch s.next() {
	case ',':
		s.at++
		return true, true
	case end:
		s.at++
		return false, true
	}
	return false, false
}

// value cuts off the value that begins here; nil: there is none.
func (s *splitter) value() []byte {
	s.next()
	from := s.at
	if !s.skip(1) {
		return nil
	}
	return s.doc[from:s.at:s.at]
}

// unquote reads a JSON string.
func unquote(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

func isNull(doc []byte) bool {
	doc = bytes.TrimSpace(doc)
	return len(doc) == 0 || bytes.Equal(doc, []byte("null"))
}
