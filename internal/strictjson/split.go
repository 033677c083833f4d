package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// The errors do not repeat the document, because it may contain a secret.
var (
	errEncoding = errors.New("it is not UTF-8")
	errSyntax   = errors.New("it is not valid JSON")
	errTrailing = errors.New("something follows the document")
	errObject   = errors.New("it is not an object")
	errArray    = errors.New("it is not an array")
	errTwice    = errors.New("a key appears twice in one object")
)

// Member is a member of an object. Name and Value are parts of the document; Name has no
// quotes, and is a copy only if it had escapes.
type Member struct{ Name, Value []byte }

// Members are the members of an object.
type Members []Member

// Get returns the value of a key, or nil. Keys are case-sensitive.
func (m Members) Get(key string) []byte {
	for i := range m {
		if string(m[i].Name) == key {
			return m[i].Value
		}
	}
	return nil
}

// Split splits a document that must be an object without equal keys. The values need only
// be valid JSON: equal keys inside them are allowed.
func Split(doc []byte) (Members, error) {
	s := NewSplitter(doc)
	m, err := s.Object(nil)
	if err == nil {
		err = s.End()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Array splits a document that must be an array. The items need only be valid JSON.
func Array(doc []byte) ([][]byte, error) {
	var items [][]byte
	s := NewSplitter(doc)
	err := s.Array(func() error {
		item, err := s.Value()
		items = append(items, item)
		return err
	})
	if err == nil {
		err = s.End()
	}
	if err != nil {
		return nil, err
	}
	return items, nil
}

// Each calls f with each member of a document that must be an object, in order, including
// members with equal keys. If Each returns an error, ignore the calls.
func Each(doc []byte, f func(name, value []byte)) error {
	s := NewSplitter(doc)
	more, err := s.begin('{', '}', errObject)
	for more && err == nil {
		var m Member
		if m, err = s.member(); err == nil {
			f(m.Name, m.Value)
			more, err = s.more('}')
		}
	}
	if err != nil {
		return err
	}
	return s.End()
}

// Text decodes a value that must be a string.
func Text(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err == nil
}

// IsNull reports whether a value is null or missing.
func IsNull(value []byte) bool {
	return len(value) == 0 || string(value) == "null"
}

// Splitter reads a document once, and checks the grammar of what it reads. A caller that
// reads a whole document must call [Splitter.End] before it uses any result.
type Splitter struct {
	doc []byte
	at  int
}

// NewSplitter returns a Splitter at the beginning of doc.
func NewSplitter(doc []byte) Splitter { return Splitter{doc: doc} }

// End returns an error if the document does not end here, or is not UTF-8.
func (s *Splitter) End() error {
	switch s.next(); {
	case s.at < len(s.doc):
		return errTrailing
	case !utf8.Valid(s.doc):
		return errEncoding
	}
	return nil
}

// Object appends the members of the object that begins here to room, which must be
// empty. Equal keys are refused.
func (s *Splitter) Object(room Members) (Members, error) {
	var names map[string]bool
	more, err := s.begin('{', '}', errObject)
	for more && err == nil {
		var m Member
		if m, err = s.member(); err != nil {
			break
		}
		if room, names, err = room.add(m, names); err == nil {
			more, err = s.more('}')
		}
	}
	if err != nil {
		return nil, err
	}
	return room, nil
}

// Array calls item at the beginning of each item of the array that begins here. The
// callback must read the item.
func (s *Splitter) Array(item func() error) error {
	more, err := s.begin('[', ']', errArray)
	for more && err == nil {
		if err = item(); err == nil {
			more, err = s.more(']')
		}
	}
	return err
}

// Value returns the value that begins here, without white space around it.
func (s *Splitter) Value() ([]byte, error) {
	s.next()
	from := s.at
	if !s.skip(1) {
		return nil, errSyntax
	}
	return s.doc[from:s.at:s.at], nil
}

func (s *Splitter) member() (m Member, err error) {
	if m.Name, err = s.key(); err == nil {
		m.Value, err = s.Value()
	}
	return m, err
}

// key reads a key and the colon after it.
func (s *Splitter) key() (name []byte, err error) {
	s.next()
	from := s.at
	if !s.skipString() {
		return nil, errSyntax
	}
	name = s.doc[from+1 : s.at-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var text string
		if json.Unmarshal(s.doc[from:s.at], &text) != nil {
			return nil, errSyntax
		}
		name = []byte(text)
	}
	if s.next() != ':' {
		return nil, errSyntax
	}
	s.at++
	return name, nil
}

// few is the number of keys up to which each key is compared with every other. For more
// keys a map of names is used, so that the time does not grow with the square of their
// number.
const few = 32

// add appends a member, and refuses equal keys.
func (m Members) add(n Member, names map[string]bool) (Members, map[string]bool, error) {
	if names == nil && len(m) == few {
		names = make(map[string]bool, 2*few)
		for i := range m {
			names[string(m[i].Name)] = true
		}
	}
	if names == nil && m.has(n.Name) || names[string(n.Name)] {
		return nil, nil, errTwice
	}
	if names != nil {
		names[string(n.Name)] = true
	}
	return append(m, n), names, nil
}

func (m Members) has(name []byte) bool {
	for i := range m {
		if string(m[i].Name) == string(name) {
			return true
		}
	}
	return false
}
