package sqlstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/projection"
)

// key returns a user ID's canonical form, and the parameter to compare with the key column.
// ok is false if the column cannot hold such a key, so no user has the ID.
func (t *shape) key(id symbolon.UserID) (canonical symbolon.UserID, param any, ok bool) {
	switch k := t.id.kind; {
	case id == "":
		return "", nil, false
	case k.integer():
		n, err := id.Int64()
		if err != nil || !fits(k, n) {
			return "", nil, false
		}
		return id, n, true
	case k == uuid:
		s, err := symbolon.ParseIdentityID(string(id)) // any UUID but the nil one
		return symbolon.UserID(s), string(s), err == nil
	}
	s := string(id)
	if len(s) > 255 || strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
		return "", nil, false
	}
	return id, s, true
}

func fits(k kind, n int64) bool {
	switch k {
	case int2:
		return math.MinInt16 <= n && n <= math.MaxInt16
	case int4:
		return math.MinInt32 <= n && n <= math.MaxInt32
	}
	return true
}

// cell is a value to be written to a column.
type cell struct {
	filled
	param   any    // nil: null
	raw     string // the value as text, for the digest
	refused string // why it cannot be written; param is nil then
}

// paths reads the projected paths from an identity, except those into the sign-up form.
func (t *shape) paths(id symbolon.Identity) []cell {
	out := make([]cell, 0, len(t.columns))
	for _, f := range t.columns {
		if f.Path != "" && !f.Transient() {
			out = append(out, t.cell(f, id))
		}
	}
	return out
}

// literals returns the constants, which are written at creation only.
func (t *shape) literals(now time.Time) []cell {
	return t.constants(now, func(f filled) bool { return f.Path == "" && f.Literal != nil })
}

// touches returns the times that are written whenever the row is.
func (t *shape) touches(now time.Time) []cell {
	return slices.DeleteFunc(t.constants(now, func(f filled) bool { return f.Touch }), func(c cell) bool { return c.unfit != "" })
}

func (t *shape) constants(now time.Time, chosen func(filled) bool) (out []cell) {
	for _, f := range t.columns {
		if chosen(f) {
			out = append(out, t.cellOf(f, projection.Value{V: constant(f.Literal, now)}))
		}
	}
	return out
}

// constant puts the time in the place of now.
func constant(literal any, now time.Time) any {
	if _, ok := literal.(projection.Now); ok {
		return now
	}
	return literal
}

func (t *shape) cell(f filled, id symbolon.Identity) cell { return t.cellOf(f, f.Value(id)) }

func (t *shape) cellOf(f filled, v projection.Value) cell {
	c := cell{filled: f}
	if v.Refused != "" {
		c.refused = v.Refused
		return c
	}
	if _, isDocument := v.V.(json.RawMessage); isDocument && f.quiet && f.kind != jsonDoc {
		return c
	}
	c.raw, c.refused = f.text(t.dialect, v.V)
	if c.refused != "" || c.raw == "" && v.V != "" {
		return c // refused, or no value
	}
	c.param = c.raw
	if _, isTime := v.V.(time.Time); t.dialect == SQLite && f.kind != jsonDoc && f.kind != text && !isTime {
		c.param = v.V // SQLite takes a value's type from the parameter
	}
	return c
}

// text formats a value for the column. Postgres gets every value as text, so the server checks
// it. SQLite stores anything in any column, so the kind is checked here for both.
func (c column) text(dialect Dialect, v any) (s, refused string) {
	if v == nil {
		return "", ""
	}
	if raw, ok := v.(json.RawMessage); ok {
		return c.document(raw)
	}
	k := c.kind
	if _, isText := v.(string); k == array && !isText { // the server reads a text such as {a,b}
		return "", "a single value does not fit a column of arrays"
	}
	switch v := v.(type) {
	case string:
		if k.integer() || k == float || k == boolean {
			return "", "a text does not fit the column's type"
		}
		s = v
	case time.Time:
		if k.integer() || k == float || k == boolean || k == uuid {
			return "", "a time does not fit the column's type"
		}
		s = c.time(dialect, v)
	case bool:
		if (k.integer() && dialect != SQLite) || k == float || k == instant {
			return "", "true or false does not fit the column's type"
		}
		s = strconv.FormatBool(v)
	case int64:
		if k == boolean || (k.integer() && !fits(k, v)) {
			return "", "the number does not fit the column's type"
		}
		s = strconv.FormatInt(v, 10)
	case float64:
		if s, refused = floatText(k, v); refused != "" || k != text {
			return s, refused
		}
	}
	switch {
	case k == jsonDoc:
		if at, isTime := v.(time.Time); isTime {
			v = at.Format(time.RFC3339Nano)
		}
		doc, err := json.Marshal(v)
		if err != nil {
			return "", "it is not valid JSON"
		}
		return string(doc), ""
	case k == text && c.limit > 0 && utf8.RuneCountInString(strings.TrimRight(s, " ")) > c.limit:
		return "", fmt.Sprintf("it has more than %d characters", c.limit)
	}
	return s, ""
}

// time formats a time. SQLite has no type for times, so there it has the form of
// current_timestamp, which the usual tools read, with microseconds.
func (c column) time(dialect Dialect, at time.Time) string {
	at = at.UTC().Truncate(time.Microsecond)
	switch {
	case dialect != SQLite || c.kind != instant:
		return at.Format(time.RFC3339Nano)
	case strings.EqualFold(c.declared, "date"):
		return at.Format(time.DateOnly)
	}
	return at.Format("2006-01-02 15:04:05.000000")
}

// document formats an object or an array. A JSON column takes both, and a column of arrays
// takes an array without objects and arrays in it.
func (c column) document(raw json.RawMessage) (s, refused string) {
	switch c.kind {
	case jsonDoc:
		return jsonText(raw)
	case array:
		return arrayText(raw)
	}
	return "", "an object or an array does not fit the column's type"
}

// arrayText writes an array as Postgres reads it. The server checks the items.
func arrayText(raw json.RawMessage) (s, refused string) {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return "", "an object does not fit a column of arrays"
	}
	if _, refused := jsonText(raw); refused != "" {
		return "", refused
	}
	var b strings.Builder
	b.WriteByte('{')
	for i, item := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		item = bytes.TrimSpace(item)
		switch item[0] {
		case '{', '[':
			return "", "the array has objects or arrays in it"
		case '"':
			var text string
			if json.Unmarshal(item, &text) != nil {
				return "", "it is not valid JSON"
			}
			b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`)
		default:
			b.Write(item) // a number, true, false or null
		}
	}
	b.WriteByte('}')
	return b.String(), ""
}

// exact is the limit beyond which float64 cannot distinguish integers.
const exact = 1 << 53

func floatText(k kind, v float64) (s, refused string) {
	whole := v == math.Trunc(v)
	switch {
	case k == boolean, k.integer() && !whole:
		return "", "the number does not fit the column's type"
	case k != float && math.Abs(v) >= exact:
		return "", "the number is too large to be kept exactly"
	case k.integer() && !fits(k, int64(v)):
		return "", "the number does not fit the column's type"
	}
	if whole && math.Abs(v) < exact {
		return strconv.FormatInt(int64(v), 10), ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64), ""
}

// jsonText refuses documents that one of the databases would refuse: those with a NUL or a
// lone surrogate, in any escaped form.
func jsonText(raw json.RawMessage) (s, refused string) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		t, ok := token.(string)
		if ok && (strings.ContainsRune(t, 0) || strings.ContainsRune(t, utf8.RuneError)) {
			return "", "it contains a NUL or is not valid Unicode"
		}
	}
	return string(raw), ""
}

// digest is a hash of the projected paths in Ory's last reading.
func digest(cells []cell) string {
	var all []byte
	for _, c := range cells {
		for _, part := range [...]string{c.name, strconv.FormatBool(c.param == nil), c.raw, c.refused} {
			all = binary.BigEndian.AppendUint64(all, uint64(len(part)))
			all = append(all, part...)
		}
	}
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:16])
}

// The marks of a digest whose reading was not written completely.
const (
	refusedMark = "!" // the table refused a value, and a finding says so
	waitingMark = "?" // a column could not be written for anybody; see shape.go and refusal.go
)

// digestToWrite is the digest with the mark for columns that are left out.
func digestToWrite(cells []cell) string {
	if slices.ContainsFunc(cells, func(c cell) bool { return c.unfit != "" }) {
		return waitingMark + digest(cells)
	}
	return digest(cells)
}

// samples are values of the paths whose values are always of one kind.
var samples = map[string]any{"created_at": time.Unix(0, 0), "verified_emails": json.RawMessage(`["a@b.c"]`), "verified_email": "a@b.c", "verified_phone": "+1",
	"schema_id": "s", "organization_id": "s", "external_id": "s"}

// never says why the column can hold no value of any of its paths; empty: it may hold some.
func (f filled) never(dialect Dialect) (why string) {
	for _, path := range f.Paths() {
		sample, known := samples[path]
		if !known {
			return ""
		}
		var refused string
		if _, refused = f.text(dialect, sample); refused == "" {
			return ""
		}
		why = refused
	}
	return why
}

// byDefault reports whether Symbolon's own table is filled with the expression by default. The
// operator has not asked for it, so a value of another form is no finding.
func (u Users) byDefault(p projection.Projection) bool {
	return u.table() == defaultTable && p.Path == defaultColumns[p.Column]
}
