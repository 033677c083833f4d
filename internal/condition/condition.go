// Package condition reads the conditions with which an application denies its users, such as
//
//	deleted_at is not null
//	suspended and role <> 'admin'
//	status in ('banned', 'left') or not active
//
// and writes them as SQL. It opens no database. A condition has tests of single columns,
// which and, or, not and parentheses combine:
//
//	column                          a boolean column is true
//	column is [not] null
//	column is [not] true, false
//	column = literal, column <> literal
//	column [not] in (literal, …)
//
// A literal is a text in single quotes, a whole number, true or false. Every test means what
// it means in SQL, null included: a test of a null column is neither true nor false, except
// with is. The text itself never reaches the database. It is parsed, and the SQL is written
// anew from the names of columns, which hold nothing that ends a quoted name (see [IsName]), and from
// literals without backslashes and control characters.
package condition

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is the kind of value that a test needs of its column.
type Kind int

// The kinds.
const (
	Any     Kind = iota // is null fits every column
	Boolean             // the column itself, and tests with true or false
	Number
	Text
)

// Use is a column of a condition, and the kind of value that a test needs of it.
type Use struct {
	Column string
	Kind   Kind
}

// Condition is a condition on the columns of one row. Make one with [Parse].
type Condition struct{ root node }

// node is a part of a condition. Exactly one of the groups is set.
type node struct {
	word string // "and", "or" or "not": what combines the parts
	of   []node

	column string
	test   string // "", "is null", "is not true", "=", "<>", "in", "not in"
	values []literal
}

type literal struct {
	kind Kind
	text string // of a text its value; otherwise as SQL writes it
}

// Uses lists the columns, each kind of use once, in the order of the text.
func (c Condition) Uses() []Use { return c.root.uses(nil) }

func (n node) uses(known []Use) []Use {
	for _, part := range n.of {
		known = part.uses(known)
	}
	if n.column == "" {
		return known
	}
	for _, kind := range n.kinds() {
		if use := (Use{n.column, kind}); !slices.Contains(known, use) {
			known = append(known, use)
		}
	}
	return known
}

func (n node) kinds() (kinds []Kind) {
	switch {
	case len(n.values) > 0:
		for _, v := range n.values {
			kinds = append(kinds, v.kind)
		}
	case strings.HasSuffix(n.test, "null"):
		kinds = []Kind{Any}
	default:
		kinds = []Kind{Boolean}
	}
	return kinds
}

// SQL writes the condition for a row with this alias.
func (c Condition) SQL(alias string) string {
	var b strings.Builder
	c.root.write(&b, alias)
	return b.String()
}

func (n node) write(b *strings.Builder, alias string) {
	switch n.word {
	case "not":
		b.WriteString("not (")
		n.of[0].write(b, alias)
		b.WriteString(")")
		return
	case "and", "or":
		for i, part := range n.of {
			if i > 0 {
				b.WriteString(" " + n.word + " ")
			}
			b.WriteString("(")
			part.write(b, alias)
			b.WriteString(")")
		}
		return
	}
	b.WriteString(alias + `."` + n.column + `"`)
	if n.test != "" {
		b.WriteString(" " + n.test)
	}
	switch {
	case strings.HasSuffix(n.test, "in"):
		b.WriteString(" (")
		for i, v := range n.values {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(v.sql())
		}
		b.WriteString(")")
	case len(n.values) == 1:
		b.WriteString(" " + n.values[0].sql())
	}
}

func (v literal) sql() string {
	if v.kind == Text {
		return "'" + strings.ReplaceAll(v.text, "'", "''") + "'"
	}
	return v.text
}

// Error says what is wrong with the text of a condition.
type Error struct {
	At int    // the character at which it is wrong, from 1
	Is string // what is wrong
}

func (e *Error) Error() string { return fmt.Sprintf("at character %d: %s", e.At, e.Is) }
