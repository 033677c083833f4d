package strictjson

import "iter"

// deepest is the maximum number of levels of a value, the same as for json.Valid.
const deepest = 10_000

// next skips white space and returns the next byte, or 0 at the end.
func (s *Splitter) next() byte {
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

// begin reads the beginning of an object or an array, and reports whether it has members or
// items.
func (s *Splitter) begin(open, end byte, wrong error) (more bool, err error) {
	if s.next() != open {
		return false, wrong
	}
	s.at++
	if s.next() == end {
		s.at++
		return false, nil
	}
	return true, nil
}

// more(end) reads the comma after a member or an item, or the end of the object or array.
func (s *Splitter) more(end byte) (more bool, err error) {
	switch s.next() {
	case ',':
		s.at++
		return true, nil
	case end:
		s.at++
		return false, nil
	}
	return false, errSyntax
}

// skip skips one value, and reports whether it is valid by the grammar of RFC 8259.
func (s *Splitter) skip(depth int) bool {
	switch s.next() {
	case '"':
		return s.skipString()
	case '{':
		return s.skipAll('}', depth, true)
	case '[':
		return s.skipAll(']', depth, false)
	case 't':
		return s.skipWord("true")
	case 'f':
		return s.skipWord("false")
	case 'n':
		return s.skipWord("null")
	}
	return s.skipNumber()
}

// skipAll skips the rest of an object or an array.
func (s *Splitter) skipAll(end byte, depth int, keyed bool) bool {
	if depth >= deepest {
		return false
	}
	s.at++
	if s.next() == end {
		s.at++
		return true
	}
	for {
		if keyed && !s.skipKey() || !s.skip(depth+1) {
			return false
		}
		if more, err := s.more(end); !more {
			return err == nil
		}
	}
}

func (s *Splitter) skipKey() bool {
	if s.next() != '"' || !s.skipString() || s.next() != ':' {
		return false
	}
	s.at++
	return true
}

func (s *Splitter) skipWord(word string) bool {
	if len(s.doc)-s.at < len(word) || string(s.doc[s.at:s.at+len(word)]) != word {
		return false
	}
	s.at += len(word)
	return true
}

// special is true for the bytes that need attention in a string: quotes, backslashes and
// control characters.
var special = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

func (s *Splitter) skipString() bool {
	doc, i := s.doc, s.at
	if i >= len(doc) || doc[i] != '"' {
		return false
	}
	for i++; i < len(doc); i++ {
		c := doc[i]
		if !special[c] {
			continue
		}
		switch c {
		case '"':
			s.at = i + 1
			return true
		case '\\':
			n := escape(doc[i+1:])
			if n == 0 {
				return false
			}
			i += n
		default:
			return false
		}
	}
	return false
}

// escape returns the length of the escape sequence after a backslash, or 0 if it is not
// valid.
func escape(doc []byte) int {
	if len(doc) == 0 {
		return 0
	}
	switch doc[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(doc) >= 5 && hex(doc[1]) && hex(doc[2]) && hex(doc[3]) && hex(doc[4]) {
			return 5
		}
	}
	return 0
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *Splitter) skipNumber() bool {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.skipDigits() {
		return false
	}
	if s.peek() == '.' {
		s.at++
		if !s.skipDigits() {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		return s.skipDigits()
	}
	return true
}

// Numbers returns the numbers at every level of a document, which must be valid JSON.
func Numbers(doc []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := NewSplitter(doc)
		for s.at < len(doc) {
			from := s.at
			switch c := doc[s.at]; {
			case c == '"':
				if !s.skipString() {
					return
				}
			case c == '-' || '0' <= c && c <= '9':
				if !s.skipNumber() || !yield(doc[from:s.at]) {
					return
				}
			default:
				s.at++
			}
		}
	}
}

func (s *Splitter) skipDigits() bool {
	from := s.at
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > from
}

// peek returns the byte at the current position, or 0 at the end.
func (s *Splitter) peek() byte {
	if s.at < len(s.doc) {
		return s.doc[s.at]
	}
	return 0
}
