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
//	traits.email              a path into the traits; metadata_public.… likewise. A number
//	                          is the place of an item in an array: traits.phones.0
//	[traits.email, traits.phone, 'none']
//	                          the first path that leads to a value; a literal may come last
//	default(traits.name, 'x') a path, and the value to write if the path leads to nothing
//	active                    true while Ory says that the identity is active
//	verified_email            the first verified e-mail address; verified_phone likewise
//	verified_emails           all of them, for an array or a JSON column
//	schema_id, organization_id, external_id, created_at
//	                          what Ory says about the identity; created_at is a time
//	transient_payload.ref     a value of the sign-up form; see [Transient]
//	now                       the time at which the row is made
//	updated_at                the time at which Symbolon last wrote the row
//	'free', 42, true          a literal
//
// The value of a path is written at creation, and again whenever a newer reading of Ory
// differs. A literal and now are written at creation only.
type Projection struct {
	Column  string
	Path    string   // empty: a literal
	Else    []string // the paths that are tried, in this order, if Path leads to nothing
	Literal any      // string, int64, float64, bool, nil or Now: the literal, or the default of the path
	Touch   bool     // the literal is Now, and is written whenever the row is
}

// Now stands for the literals now and updated_at. The store writes the time in its place.
type Now struct{}

// transient is the root of a path into the sign-up form's transient_payload.
const transient = "transient_payload"

// Transient reports whether the value comes from the transient_payload of the sign-up form.
// Only the link hook has it, once. So a reading without it changes nothing in the column.
//
// Danger: the browser chooses the value, and nobody has checked it.
func (p Projection) Transient() bool { return strings.HasPrefix(p.Path, transient+".") }

// Paths returns Path and the paths that are tried after it.
func (p Projection) Paths() []string {
	if p.Path == "" {
		return nil
	}
	return append([]string{p.Path}, p.Else...)
}

// Value is the value that a projection gives for an identity.
type Value struct {
	// V is a string, int64, float64, bool, time.Time, Now, or json.RawMessage for an object
	// or an array. nil: the path leads to nothing.
	V any

	// Refused says why the value cannot be stored; V is nil then.
	Refused string
}

// words are the paths of one word.
var words = []string{"active", "verified_email", "verified_phone", "verified_emails", "schema_id", "organization_id", "external_id", "created_at"}

var (
	pathForm    = regexp.MustCompile(`^(traits|metadata_public|transient_payload)(\.[A-Za-z0-9_-]{1,64}){1,8}$`)
	defaultForm = regexp.MustCompile(`^default\(\s*([^,\s]+)\s*,\s*(.+?)\s*\)$`)
	listForm    = regexp.MustCompile(`^\[\s*(.+?)\s*\]$`)
	listTail    = regexp.MustCompile(`^((?:[A-Za-z0-9_.-]+\s*,\s*)+)(.+)$`)
	stringForm  = regexp.MustCompile(`^'(?:[^']|'')*'$`)
)

// Forms names the forms of an expression, for error messages.
const Forms = "a path (traits.…, metadata_public.…, transient_payload.…, active, verified_email, verified_phone, verified_emails, schema_id, organization_id, external_id, created_at), " +
	"a list of paths [traits.email, traits.phone], default(path, 'x'), now, updated_at or a literal ('x', 42, true)"

// Parse reads the expression for a column.
func Parse(column, expr string) (Projection, error) {
	p := Projection{Column: column}
	expr = strings.TrimSpace(expr)
	fault := func(format string, args ...any) (Projection, error) {
		return Projection{Column: column}, fmt.Errorf("column %s: %q "+format, append([]any{column, expr}, args...)...)
	}
	switch m := defaultForm.FindStringSubmatch(expr); {
	case m != nil:
		lit, ok := parseLiteral(m[2])
		if !ok || !isPath(m[1]) {
			return fault("is not of the form default(path, 'text')")
		}
		p.Path, p.Literal = m[1], lit
	case listForm.MatchString(expr):
		if !p.list(listForm.FindStringSubmatch(expr)[1]) {
			return fault("is not a list of at most %d paths, with a literal at its end or not: [traits.email, traits.phone, 'none']", maxPaths)
		}
		if len(p.Else) > 0 && slices.ContainsFunc(p.Paths(), func(path string) bool { return strings.HasPrefix(path, transient+".") }) {
			return fault("mixes a path into the sign-up form with others, which would overwrite it; it can have a literal only: default(transient_payload.…, 'x')")
		}
	case expr == "now", expr == "updated_at":
		p.Literal, p.Touch = Now{}, expr == "updated_at"
	case isPath(expr):
		p.Path = expr
	default:
		lit, ok := parseLiteral(expr)
		if !ok {
			return fault("is neither %s", Forms)
		}
		p.Literal = lit
	}
	return p, nil
}

// maxPaths is the maximum number of paths in a list.
const maxPaths = 8

// list reads the inside of a list. A literal with commas may only be the last item. The path
// active always has a value, so it has no alternative.
func (p *Projection) list(inside string) bool {
	var paths []string
	last := inside
	if m := listTail.FindStringSubmatch(inside); m != nil {
		for item := range strings.SplitSeq(strings.TrimRight(m[1], ", \t"), ",") {
			paths = append(paths, strings.TrimSpace(item))
		}
		last = m[2]
	}
	if isPath(last) {
		paths = append(paths, last)
	} else {
		var ok bool
		if p.Literal, ok = parseLiteral(last); !ok {
			return false
		}
	}
	if len(paths) == 0 || len(paths) > maxPaths || len(paths) > 1 && slices.Contains(paths, "active") || slices.ContainsFunc(paths, func(path string) bool { return !isPath(path) }) {
		return false
	}
	p.Path, p.Else = paths[0], paths[1:]
	return true
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
		out = append(out, p.Paths()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func isPath(s string) bool { return slices.Contains(words, s) || pathForm.MatchString(s) }

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

// Value returns the value of the projection for an identity. Of several paths the first one
// with a value counts, also if that value cannot be stored.
func (p Projection) Value(id symbolon.Identity) Value {
	for _, path := range p.Paths() {
		if v := lookup(id, path); v.V != nil || v.Refused != "" {
			return v
		}
	}
	return Value{V: p.Literal}
}

func lookup(id symbolon.Identity, path string) Value {
	switch path {
	case "active":
		return Value{V: id.State != symbolon.Inactive}
	case "created_at":
		if id.CreatedAt.IsZero() {
			return Value{}
		}
		return Value{V: id.CreatedAt.UTC()}
	case "verified_emails":
		return list(verified(id, "email"))
	case "verified_email", "verified_phone", "schema_id", "organization_id", "external_id":
		return optional(word(id, path))
	}
	root, rest, _ := strings.Cut(path, ".")
	raw := map[string]json.RawMessage{"traits": id.Traits, "metadata_public": id.MetadataPublic, transient: id.Transient}[root]
	for key := range strings.SplitSeq(rest, ".") {
		raw = inside(raw, key)
	}
	return scalar(raw)
}

// word returns the text of a path of one word, or "".
func word(id symbolon.Identity, path string) string {
	switch path {
	case "verified_email":
		return id.VerifiedEmail()
	case "verified_phone":
		if phones := verified(id, "sms"); len(phones) > 0 {
			return phones[0]
		}
	case "schema_id":
		return id.SchemaID
	case "organization_id":
		return id.OrganizationID
	case "external_id":
		return id.ExternalID
	}
	return ""
}

func optional(text string) Value {
	if text == "" {
		return Value{}
	}
	return storable(text)
}

// verified returns the verified addresses of a kind, in Ory's order.
func verified(id symbolon.Identity, via string) (out []string) {
	for _, a := range id.Addresses {
		if a.Verified && (a.Via == via || a.Via == "" && via == "email") {
			out = append(out, a.Value)
		}
	}
	return out
}

// list returns texts as an array, or no value if there are none.
func list(texts []string) Value {
	for _, text := range texts {
		if v := storable(text); v.Refused != "" {
			return v
		}
	}
	if len(texts) == 0 {
		return Value{}
	}
	raw, err := json.Marshal(texts)
	if err != nil {
		return Value{Refused: "it is not valid JSON"}
	}
	return Value{V: json.RawMessage(raw)}
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

// inside returns the member of an object, or the item of an array if key is a number. It
// returns nil if there is none.
func inside(raw json.RawMessage, key string) json.RawMessage {
	if trimmed := bytes.TrimLeft(raw, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '[' {
		return member(raw, key)
	}
	at, ok := Index(key)
	var items []json.RawMessage
	if !ok || json.Unmarshal(raw, &items) != nil || at >= len(items) {
		return nil
	}
	return items[at]
}

// Index returns the number that a key of a path is, if it can be the place of an item in an
// array: 0, 12, and not 01.
func Index(key string) (at int, ok bool) {
	at, err := strconv.Atoi(key)
	return at, err == nil && at >= 0 && strconv.Itoa(at) == key
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
