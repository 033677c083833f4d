package condition

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/internal/answer"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, sql string }{
		{"suspended", `u."suspended"`},
		{"not suspended", `not (u."suspended")`},
		{"not not a", `not (not (u."a"))`},
		{"deleted_at is not null", `u."deleted_at" is not null`},
		{"deleted_at IS NULL", `u."deleted_at" is null`},
		{`"deletedAt" is null`, `u."deletedAt" is null`},
		{"deletedAt is null", `u."deletedAt" is null`},
		{"gelöscht", `u."gelöscht"`},
		{"חסום is not true", `u."חסום" is not true`},
		{"İs is null", `u."İs" is null`},
		{`"is-suspended"`, `u."is-suspended"`},
		{`"sus-pended $1" is null and "é"`, `(u."sus-pended $1" is null) and (u."é")`},
		{`"not" is null`, `u."not" is null`},
		{"active is not true", `u."active" is not true`},
		{"active is false", `u."active" is false`},
		{"status = 'gone'", `u."status" = 'gone'`},
		{"status!='it''s'", `u."status" <> 'it''s'`},
		{"status <> ''", `u."status" <> ''`},
		{"level = -3", `u."level" = -3`},
		{"ok = TRUE", `u."ok" = true`},
		{"status in ('a' , 'b')", `u."status" in ('a', 'b')`},
		{"level not in (1)", `u."level" not in (1)`},
		{"a and b or not c and d", `((u."a") and (u."b")) or ((not (u."c")) and (u."d"))`},
		{"a and (b or c)", `(u."a") and ((u."b") or (u."c"))`},
		{"not (a or b)", `not ((u."a") or (u."b"))`},
		{"not a = 'x'", `not (u."a" = 'x')`},
		{"\n a\tis  null ", `u."a" is null`},
		{"a = '{id} symbolon. $1 ? :x -- /*'", `u."a" = '{id} symbolon. $1 ? :x -- /*'`},
	} {
		c, err := Parse(tt.text)
		if err != nil || c.SQL("u") != tt.sql {
			t.Errorf("%s: got %s, %v, want %s", tt.text, c.SQL("u"), err, tt.sql)
			continue
		}
		again, err := Parse(strings.ReplaceAll(c.SQL("u"), `u."`, `"`))
		if err != nil || strings.ReplaceAll(again.SQL("u"), "(", "") != strings.ReplaceAll(c.SQL("u"), "(", "") {
			t.Errorf("%s: its SQL is read as %s, %v", tt.text, again.SQL("u"), err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "column is missing",
		"not":                            "column is missing",
		"a and":                          "column is missing",
		"a b":                            "and or or is missing",
		"a; drop table people":           "no meaning",
		"a -- x":                         "no meaning",
		"a /* x */":                      "no meaning",
		"a = b":                          "a value is missing",
		"a = null":                       "is null",
		"a = now()":                      "a value is missing",
		"f(a)":                           "and or or is missing",
		"a > 3":                          "no meaning",
		"a like 'x'":                     "and or or is missing",
		"a = 1.5":                        "whole number",
		"a = 1x":                         "whole number",
		"a = 99999999999999999999":       "too large",
		"a = 'x":                         "quote is not closed",
		`"a`:                             "quote is not closed",
		`"a.b" is null`:                  "letters, digits",
		`"a--b" is null`:                 "letters, digits",
		`"{id}" is null`:                 "letters, digits",
		`"'" is null`:                    "letters, digits",
		`"-a" is null`:                   "letters, digits",
		`"$1" is null`:                   "letters, digits",
		"is-suspended":                   "column is missing",
		"sus-pended":                     "double quotes",
		"ä = 'x' §":                      "at character 9",
		strings.Repeat("ä", 32):          "at most 63 bytes",
		`"a""b" is null`:                 "and or or is missing",
		`"" is null`:                     "letters, digits",
		strings.Repeat("a", 64):          "letters, digits",
		`a = 'x\'`:                       "backslash",
		"a = 'x\x00'":                    "control",
		"a = 'x\n'":                      "control",
		"a = '\xff'":                     "control",
		"a in ()":                        "a value is missing",
		"a in ('x'":                      ") is missing",
		"a in ('x', 1)":                  "one kind",
		"a in 'x'":                       "( is missing",
		"a not 'x'":                      "in is missing",
		"a is":                           "null, true or false",
		"a is 'x'":                       "null, true or false",
		"(a":                             ") is missing",
		"a)":                             "and or or is missing",
		"null":                           "column is missing",
		"true":                           "column is missing",
		"1 = 1":                          "column is missing",
		"$1":                             "no meaning",
		"{id} is null":                   "no meaning",
		strings.Repeat("(", 30) + "a":    "too deeply",
		strings.Repeat("not ", 30) + "a": "too deeply",
		"a" + strings.Repeat(" ", 1000):  "longer",
	} {
		_, err := Parse(text)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestUses(t *testing.T) {
	c, err := Parse("a and not a or b is null and c in ('x') or d <> 1 or e = true or f is not false")
	if err != nil {
		t.Fatal(err)
	}
	want := []Use{{"a", Boolean}, {"b", Any}, {"c", Text}, {"d", Number}, {"e", Boolean}, {"f", Boolean}}
	got := c.Uses()
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
}

// TestCheckCode checks that no condition has a code that means something else.
func TestCheckCode(t *testing.T) {
	for _, code := range []string{"user_gone", "user_suspended", "banned"} {
		if err := CheckCode(code); err != nil {
			t.Error(err)
		}
	}
	for _, code := range append([]string{"", "User", "a-b", "a b", "_a", "a1", strings.Repeat("a", 64), "a\n"}, codesOf(answer.Codes())...) {
		if err := CheckCode(code); err == nil && code != string(answer.UserGone) {
			t.Errorf("%q was accepted", code)
		}
	}
}

func codesOf(codes []answer.Code) (out []string) {
	for _, c := range codes {
		out = append(out, string(c))
	}
	return out
}

var (
	quotedText = regexp.MustCompile(`'(?:[^']|'')*'`)
	quotedName = regexp.MustCompile(`u\."([^"]*)"`)
)

// FuzzParse checks that the SQL of a condition holds nothing but the columns, the literals and
// the words of the grammar, and is read again as the same condition.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"deleted_at is not null", "not a and (b or c in ('x', 'it''s'))", "a = -1 or b <> true", `"B" is not true`, "a not in (1, 2)", `"is-suspended $1" or gelöscht is true`, "a = '\\'", "((a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		sql := c.SQL("u")
		bare := quotedText.ReplaceAllString(sql, "")
		for _, name := range quotedName.FindAllStringSubmatch(bare, -1) {
			if !IsName(name[1]) {
				t.Fatalf("%q became %q", text, sql)
			}
		}
		bare = quotedName.ReplaceAllString(bare, "")
		if strings.ContainsAny(bare, `'"\;$?{`) || strings.Contains(bare, "--") {
			t.Fatalf("%q became %q", text, sql)
		}
		if len(c.Uses()) == 0 || odd(strings.ReplaceAll(sql, "\n", "")) {
			t.Fatalf("%q became %q", text, sql)
		}
		if strings.Count(sql, "(") > maxDepth {
			return // its SQL has more parentheses than a condition may have
		}
		again, err := Parse(strings.ReplaceAll(sql, `u."`, `"`))
		if err == nil && len(again.Uses()) != len(c.Uses()) {
			t.Fatalf("%q became %q, which has other columns", text, sql)
		}
	})
}
