package sqlstore_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
)

// conditionText draws a condition on the columns b, gelöscht (boolean), s, "no-role $1" (text) and n (integer), as
// both databases read it, too.
func conditionText(t *rapid.T, depth int) string {
	if depth > 0 && rapid.IntRange(0, 3).Draw(t, "combined") > 0 {
		left := conditionText(t, depth-1)
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			return left + " and " + conditionText(t, depth-1)
		case 1:
			return left + " or " + conditionText(t, depth-1)
		case 2:
			return "not " + left
		}
		return "(" + left + ")"
	}
	boolean := rapid.SampledFrom([]string{"b", "gelöscht"}).Draw(t, "boolean")
	text := rapid.SampledFrom([]string{"s", `"no-role $1"`}).Draw(t, "text")
	word := func() string {
		return "'" + strings.ReplaceAll(rapid.SampledFrom([]string{"", "x", "X", "it's", "{id}", "ä"}).Draw(t, "word"), "'", "''") + "'"
	}
	number := func() string { return fmt.Sprint(rapid.IntRange(-1, 2).Draw(t, "number")) }
	not := rapid.SampledFrom([]string{"", "not "}).Draw(t, "not")
	equals := rapid.SampledFrom([]string{" = ", " <> ", "!= ", "="}).Draw(t, "equals")
	switch rapid.IntRange(0, 6).Draw(t, "test") {
	case 0:
		return boolean
	case 1:
		return boolean + " is " + not + rapid.SampledFrom([]string{"true", "FALSE", "null"}).Draw(t, "what")
	case 2:
		return boolean + equals + rapid.SampledFrom([]string{"true", "false"}).Draw(t, "what")
	case 3:
		return text + " IS " + not + "NULL"
	case 4:
		return text + equals + word()
	case 5:
		return text + " " + not + "in (" + word() + ", " + word() + ")"
	}
	return "n " + not + "in (" + number() + "," + number() + ") and n" + equals + " " + number()
}

// TestConditionsAreSQL draws conditions and rows. The store denies a person exactly if the
// database itself says that the text is true of the row.
func TestConditionsAreSQL(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, `b boolean, gelöscht boolean, s text, "no-role $1" text, n integer`, nil)
		l, id := linkerOf(p.store(p.DB)), identityWith(`{}`)
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			text := conditionText(t, rapid.IntRange(0, 3).Draw(t, "depth"))
			other := conditionText(t, 1)
			row := fmt.Sprintf(`b = %s, gelöscht = %s, s = %s, "no-role $1" = %s, n = %s`,
				rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "b"), rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "c"),
				rapid.SampledFrom([]string{"null", "''", "'x'", "'it''s'"}).Draw(t, "s"), rapid.SampledFrom([]string{"null", "'X'", "'{id}'", "'ä'"}).Draw(t, "r"),
				rapid.SampledFrom([]string{"null", "-1", "0", "2"}).Draw(t, "n"))
			if _, err := p.Exec(p.sql(`update {users} set ` + row)); err != nil {
				t.Fatal(err)
			}
			var first, second sql.NullBool
			asked := p.QueryRow(`select (` + text + `), (` + other + `) from ` + p.users.Table)
			if err := asked.Scan(&first, &second); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			want := ""
			switch {
			case first.Bool:
				want = "a"
			case second.Bool:
				want = "b"
			}
			q := *p
			q.users.Deny = map[string]string{"b": other, "a": text}
			held, err := q.store(p.DB).Read(t.Context(), symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: id, Source: symbolon.FromRequest}})
			if err != nil || held.User == nil || held.User.Denied != want {
				t.Fatalf("%s; %s: %s: got %+v %v, want %q", text, other, row, held.User, err, want)
			}
		})
	})
}
