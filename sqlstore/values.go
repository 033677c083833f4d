package sqlstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
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

// paths reads the projected paths from an identity.
func (t *shape) paths(id symbolon.Identity) []cell {
	out := make([]cell, 0, len(t.columns))
	for _, f := range t.columns {
		if f.Path != "" {
			out = append(out, t.cell(f, id))
		}
	}
	return out
}

// literals returns the constants, which are written at creation only.
func (t *shape) literals() []cell {
	var out []cell
	for _, f := range t.columns {
		if f.Path == "" && f.Literal != nil {
			out = append(out, t.cell(f, symbolon.Identity{}))
		}
	}
	return out
}

func (t *shape) cell(f filled, id symbolon.Identity) cell {
	c := cell{filled: f}
	v := f.Value(id)
	if v.Refused != "" {
		c.refused = v.Refused
		return c
	}
	c.raw, c.refused = textOf(f.kind, t.dialect, v.V)
	if c.refused != "" || c.raw == "" && v.V != "" {
		return c // refused, or no value for this kind of column
	}
	c.param = c.raw
	if t.dialect == SQLite && f.kind != jsonDoc && f.kind != text {
		c.param = v.V // SQLite takes a value's type from the parameter
	}
	return c
}

// textOf formats a value for a column of the kind. Postgres gets every value as text, so
// the server checks it. SQLite stores anything in any column, so the kind is checked here
// for both. An object or an array can be written to a JSON column only.
func textOf(k kind, dialect Dialect, v any) (s, refused string) {
	switch v := v.(type) {
	case nil:
		return "", ""
	case json.RawMessage:
		if k != jsonDoc {
			return "", ""
		}
		return jsonText(v)
	case string:
		if k.integer() || k == float || k == boolean {
			return "", "a text does not fit the column's type"
		}
		s = v
	case bool:
		if (k.integer() && dialect != SQLite) || k == float {
			return "", "true or false does not fit the column's type"
		}
		s = strconv.FormatBool(v)
	case int64:
		if k == boolean || (k.integer() && !fits(k, v)) {
			return "", "the number does not fit the column's type"
		}
		s = strconv.FormatInt(v, 10)
	case float64:
		return floatText(k, v)
	}
	if k == jsonDoc {
		doc, err := json.Marshal(v)
		if err != nil {
			return "", "it is not valid JSON"
		}
		return string(doc), ""
	}
	return s, ""
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
