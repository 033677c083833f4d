package symbolon

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// member returns the member of an object that json.Unmarshal would put into a map:
// of equal keys the last. What is no object has none. Most objects are read without
// making the map: everybody's traits are, in every comparison.
func member(object json.RawMessage, key string) json.RawMessage {
	object = bytes.TrimLeft(object, " \t\r\n")
	if len(object) == 0 || object[0] != '{' || !json.Valid(object) {
		return nil
	}
	var found json.RawMessage
	for at := skipSpace(object, 1); object[at] == '"'; {
		name := object[at:valueEnd(object, at)]
		if bytes.IndexByte(name, '\\') >= 0 || !utf8.Valid(name) {
			return memberOfMap(object, key)
		}
		at = skipSpace(object, skipSpace(object, at+len(name))+1) // behind the colon
		end := valueEnd(object, at)
		if string(name[1:len(name)-1]) == key {
			found = object[at:end:end]
		}
		if at = skipSpace(object, end); object[at] == ',' {
			at = skipSpace(object, at+1)
		}
	}
	return found
}

// memberOfMap is member for objects with keys that are not what they look like.
func memberOfMap(object json.RawMessage, key string) json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(object, &all) != nil {
		return nil
	}
	return all[key]
}

// skipSpace and valueEnd walk over JSON that is known to be valid.
func skipSpace(doc []byte, at int) int {
	for at < len(doc) && (doc[at] == ' ' || doc[at] == '\t' || doc[at] == '\r' || doc[at] == '\n') {
		at++
	}
	return at
}

// valueEnd is where the value ends that begins at from.
func valueEnd(doc []byte, from int) int {
	depth := 0
	for at := from; at < len(doc); at++ {
		switch doc[at] {
		case '"':
			for at++; doc[at] != '"'; at++ {
				if doc[at] == '\\' {
					at++
				}
			}
			if depth == 0 {
				return at + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
			if depth < 0 {
				return at // a number or a word, the last of its object
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return at
			}
		}
	}
	return len(doc)
}
