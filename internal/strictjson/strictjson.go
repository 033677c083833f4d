// Package strictjson refuses the JSON that two readers may understand differently. The
// standard library uses the last of two equal keys, matches the keys of structs
// case-insensitively, and decodes text that is not UTF-8. A proxy, a database or a log may
// see something else in the same bytes.
//
// [Check] and [Object] are for request bodies that anybody can send: they check every level
// of a document, and limit its depth and its keys. [Split], [Array] and [Splitter] are for
// Ory's answers: they check only the levels that are split, and copy nothing. Traits and
// metadata are below these levels, and may be any valid JSON.
//
// encoding/json/jsontext, which is only an experiment in Go 1.26, could replace only the
// grammar of this package. It refuses equal keys and lone surrogates at every level or at
// none, and quotes the document in its errors. For a page of identities it takes 1.4 times as
// long. Without its check of keys it takes the same time as this package.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
)

// Limits of one document.
const (
	MaxDepth = 32
	MaxKeys  = 1_000 // in all objects together
)

var (
	errDeep = fmt.Errorf("it is more than %d levels deep", MaxDepth)
	errMany = fmt.Errorf("it has more than %d keys", MaxKeys)
)

// Check returns an error if a document is not exactly one JSON value in UTF-8, has a key
// twice in one object (compared case-insensitively), is too deep, or has too many keys.
func Check(doc []byte) error {
	c := checker{Splitter: NewSplitter(doc)}
	if err := c.value(0); err != nil {
		return err
	}
	return c.End()
}

// Object checks doc, which must be an object, and returns its members by their keys, which
// are case-sensitive. The values are parts of doc.
func Object(doc []byte) (map[string]json.RawMessage, error) {
	if err := Check(doc); err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	err := Each(doc, func(name, value []byte) { members[string(name)] = value })
	if err != nil {
		return nil, err
	}
	return members, nil
}

type checker struct {
	Splitter
	keys int
}

func (c *checker) value(depth int) error {
	first := c.next()
	switch {
	case first != '{' && first != '[':
		_, err := c.Value()
		return err
	case depth >= MaxDepth:
		return errDeep
	case first == '[':
		return c.Array(func() error { return c.value(depth + 1) })
	}
	return c.object(depth)
}

func (c *checker) object(depth int) error {
	var room [8]Member
	var names map[string]bool
	members := Members(room[:0])
	more, err := c.begin('{', '}', errObject)
	for more && err == nil {
		var name []byte
		if name, err = c.key(); err != nil {
			return err
		}
		if members, names, err = members.add(Member{Name: fold(name)}, names); err != nil {
			return err
		}
		if c.keys++; c.keys > MaxKeys {
			return errMany
		}
		if err = c.value(depth + 1); err == nil {
			more, err = c.more('}')
		}
	}
	return err
}

// fold returns a key in lower case.
func fold(name []byte) []byte {
	for _, b := range name {
		if 'A' <= b && b <= 'Z' || b > unicode.MaxASCII {
			return bytes.ToLower(name)
		}
	}
	return name
}
