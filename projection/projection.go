// Package projection fills the columns of the application's row from an identity. Each
// column has an expression: a path into the identity, or a literal.
package projection

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// Projection fills one column of the application's row. Its expression is
//
//	traits.email              a path into the traits; metadata_public.… likewise
//	active                    true while Ory says that the identity is active
//	verified_email            the first verified e-mail address
//	default(traits.name, 'x') a path, and the value to write if the path leads to nothing
//	'free', 42, true          a literal
//
// The value of a path is written at creation, and again whenever a newer reading of Ory
// differs. A literal is written at creation only.
type Projection struct {
	Column  string
	Path    string // empty: a literal
	Literal any    // string, int64, float64, bool or nil: the literal, or the default of the path
}

// Value is the value that a projection gives for an identity.
type Value struct {
	// V is a string, int64, float64, bool, or json.RawMessage for an object or an
	// array. nil: the path leads to nothing.
	V any

	// Refused says why the value cannot be stored; V is nil then.
	Refused string
}

var (
	pathForm    = regexp.MustCompile(`^(traits|metadata_public)(\.[A-Za-z0-9_-]{1,64}){1,8}$`)
	defaultForm = regexp.MustCompile(`^default\(\s*([^,\s]+)\s*,\s*(.+?)\s*\)$`)
	stringForm  = regexp.MustCompile(`^'(?:[^']|'')*'$`)
)

// Parse reads the expression for a column.
func Parse(column, expr string) (Projection, error) {
	p := Projection{Column: column}
	expr = strings.TrimSpace(expr)
	if m := defaultForm.FindStringSubmatch(expr); m != nil {
		lit, ok := parseLiteral(m[2])
		if !ok || !isPath(m[1]) {
			return p, fmt.Errorf("column %s: %q is not of the form default(path, 'text')", column, expr)
		}
		p.Path, p.Literal = m[1], lit
		return p, nil
	}
	if isPath(expr) {
		p.Path = expr
		return p, nil
	}
	if lit, ok := parseLiteral(expr); ok {
		p.Literal = lit
		return p, nil
	}
	return p, fmt.Errorf("column %s: %q is neither a path (traits.…, metadata_public.…, active, verified_email), default(path, 'x') nor a literal ('x', 42, true)", column, expr)
}

// ParseAll reads all expressions, by column, in the order of the columns'
// names. It returns one error for each fault.
func ParseAll(columns map[string]string) ([]Projection, []error) {
	var out []Projection
	var faults []error
	for column, expr := range columns {
		p, err := Parse(column, expr)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Projection) int { return strings.Compare(a.Column, b.Column) })
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return out, faults
}

// Paths lists the paths that the expressions read, each once, sorted. The link hook sends
// their values. Invalid expressions are left out.
func Paths(columns map[string]string) []string {
	projections, _ := ParseAll(columns)
	var out []string
	for _, p := range projections {
		if p.Path != "" && !slices.Contains(out, p.Path) {
			out = append(out, p.Path)
		}
	}
	slices.Sort(out)
	return out
}

func isPath(s string) bool {
	return s == "active" || s == "verified_email" || pathForm.MatchString(s)
}

func parseLiteral(s string) (any, bool) {
	switch {
	case s == "null":
		return nil, true
	case s == "true", s == "false":
		return s == "true", true
	case stringForm.MatchString(s):
		return strings.ReplaceAll(s[1:len(s)-1], "''", "'"), true
	}
	return parseNumber(s)
}

func parseNumber(s string) (any, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	if !json.Valid([]byte(s)) { // refuses "0x10", "Inf" and "1_000"
		return nil, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// Value returns the value of the projection for an identity.
func (p Projection) Value(id symbolon.Identity) Value {
	if p.Path == "" {
		return Value{V: p.Literal}
	}
	v := lookup(id, p.Path)
	if v.V == nil && v.Refused == "" {
		v.V = p.Literal
	}
	return v
}

func lookup(id symbolon.Identity, path string) Value {
	switch path {
	case "active":
		return Value{V: id.State != symbolon.Inactive}
	case "verified_email":
		if e := id.VerifiedEmail(); e != "" {
			return storable(e)
		}
		return Value{}
	}
	root, rest, _ := strings.Cut(path, ".")
	raw := id.Traits
	if root == "metadata_public" {
		raw = id.MetadataPublic
	}
	for key := range strings.SplitSeq(rest, ".") {
		raw = member(raw, key)
	}
	return scalar(raw)
}

func scalar(raw json.RawMessage) Value {
	if strictjson.IsNull(raw) {
		return Value{}
	}
	switch raw[0] {
	case '"':
		s, ok := strictjson.Text(raw)
		if !ok {
			return Value{Refused: "it is not valid JSON"}
		}
		return storable(s)
	case '{', '[':
		return document(raw)
	case 't', 'f':
		return Value{V: raw[0] == 't'}
	}
	n, ok := parseNumber(string(raw))
	if _, rounded := n.(float64); !ok || rounded && !bytes.ContainsAny(raw, ".eE") {
		return Value{Refused: "the number is too large"} // because an integer is never rounded
	}
	return Value{V: n}
}

// document returns an object or an array, unless a text in it cannot be stored.
func document(raw json.RawMessage) Value {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return Value{V: raw}
		}
		if err != nil {
			return Value{Refused: "it is not valid JSON"}
		}
		if text, ok := t.(string); ok {
			if v := storable(text); v.Refused != "" {
				return v
			}
		}
	}
}

// storable returns the text. It refuses a text with a NUL or with a lone surrogate (which
// decodes to U+FFFD), because the two databases store such a text differently. Ory accepts
// both.
func storable(s string) Value {
	switch {
	case strings.ContainsRune(s, 0):
		return Value{Refused: "it contains a NUL"}
	case strings.ContainsRune(s, '�'):
		return Value{Refused: "it is not valid Unicode"}
	}
	return Value{V: s}
}

// member returns the value of key. If the key occurs more than once, it returns the last
// value, as json.Unmarshal does. It returns nil if object is not an object. Most objects
// are read without making the map, because a reconcile run reads the traits of every
// identity.
func member(object json.RawMessage, key string) (found json.RawMessage) {
	err := strictjson.Each(object, func(name, value []byte) {
		if string(name) == key {
			found = value
		}
	})
	switch {
	case err == nil:
		return found
	case utf8.Valid(object):
		return nil
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(object, &all) != nil {
		return nil
	}
	return all[key]
}
