package ory

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Ory's answers are split by hand, once they are known to be valid JSON, because
// the standard library would take the last of two equal keys, and its structs any
// spelling of a key: two readers could find two identities in the same bytes.

// valid reports why doc is not one JSON value in UTF-8.
func valid(doc []byte) error {
	if !utf8.Valid(doc) {
		return errors.New("it is not UTF-8")
	}
	if !json.Valid(doc) {
		return errors.New("it is not one JSON value")
	}
	return nil
}

// fields are the members of an object by their exact keys. The values are parts of
// the document.
type fields map[string][]byte

// object splits valid JSON that must be an object without equal keys.
func object(doc []byte) (fields, error) {
	s := splitter{rest: doc}
	if s.next() != '{' {
		return nil, errors.New("it is not a JSON object")
	}
	f := make(fields, 16)
	s.rest = s.rest[1:]
	for s.next() == '"' {
		key, _ := unquote(s.value())
		s.next() // the colon
		s.rest = s.rest[1:]
		s.next()
		if _, twice := f[key]; twice {
			return nil, errors.New("a key stands twice in it")
		}
		f[key] = s.value()
		s.comma()
	}
	return f, nil
}

// array splits valid JSON that must be an array; null and nothing are empty ones.
func array(doc []byte) ([][]byte, error) {
	if isNull(doc) {
		return nil, nil
	}
	s := splitter{rest: doc}
	if s.next() != '[' {
		return nil, errors.New("a list is not a JSON array")
	}
	var items [][]byte
	s.rest = s.rest[1:]
	for c := s.next(); c != ']' && c != 0; c = s.next() {
		items = append(items, s.value())
		s.comma()
	}
	return items, nil
}

// splitter walks over valid JSON without looking deeper than one level.
type splitter struct{ rest []byte }

// next skips white space and returns the byte that stands there, 0 at the end.
func (s *splitter) next() byte {
	s.rest = bytes.TrimLeft(s.rest, " \t\r\n")
	if len(s.rest) == 0 {
		return 0
	}
	return s.rest[0]
}

func (s *splitter) comma() {
	if s.next() == ',' {
		s.rest = s.rest[1:]
	}
}

// value cuts off the value that begins here.
func (s *splitter) value() []byte {
	depth, i := 0, 0
	for i < len(s.rest) {
		switch c := s.rest[i]; c {
		case '"':
			i += endOfString(s.rest[i:])
		case '{', '[':
			depth++
			i++
		case '}', ']', ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.cut(i) // behind a number or a word
			}
			if c == '}' || c == ']' {
				depth--
			}
			i++
		default:
			i++
			continue // inside a number or a word, or at a colon
		}
		if depth == 0 {
			return s.cut(i)
		}
	}
	return s.cut(i)
}

func (s *splitter) cut(n int) []byte {
	v := s.rest[:n:n]
	s.rest = s.rest[n:]
	return v
}

// endOfString returns how long the string is that begins here, with its quotes.
func endOfString(doc []byte) int {
	for i := 1; i < len(doc); i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(doc)
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
