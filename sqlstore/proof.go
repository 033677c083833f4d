package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
)

// A CHECK is recognised by what it refuses, and not by its text, because the application may
// have written it, and Postgres prints every constraint in its own way.

// proof says what the database guarantees about the spelling in the identity column.
type proof int

const (
	unproven proof = iota // it accepts other spellings
	guarded               // it refuses them, but has not checked the older rows
	proven                // no row has another spelling
)

// proves returns what the database guarantees. If the result is unproven, proves has set the
// fields suffix and lacks of p, from which the SQL is made.
func (s *Store) proves(ctx context.Context, p *spelling) (proof, error) {
	if !p.free() {
		return proven, nil
	}
	have, err := s.checks(ctx, *p)
	if err != nil || have != unproven {
		return have, err
	}
	if s.Dialect == SQLite {
		if p.lacks, err = s.unguarded(ctx, *p); err != nil || len(p.lacks) == 0 {
			return guarded, err
		}
	}
	p.suffix, err = s.freeSuffix(ctx, *p)
	return unproven, err
}

// checks returns what the CHECKs of the column guarantee.
func (s *Store) checks(ctx context.Context, p spelling) (proof, error) {
	read := s.readPostgresChecks
	if s.Dialect == SQLite {
		read = s.readSQLiteChecks
	}
	all, err := read(ctx, p)
	if err != nil {
		return unproven, err
	}
	best := unproven
	for _, c := range all {
		if c.means <= best {
			continue
		}
		refuses, err := s.refusesSpellings(ctx, p, c.condition)
		if err != nil {
			return unproven, err
		}
		if refuses {
			best = c.means
		}
	}
	return best, nil
}

// check is a condition that the database demands of every new value.
type check struct {
	condition string
	means     proof // what the database guarantees if the condition refuses other spellings
}

// readChecks reads the conditions of the column and of its domain. NOT ENFORCED is of Postgres
// 18.
const readChecks = `
select pg_get_expr(k.conbin, k.conrelid), k.convalidated
from pg_attribute a
join pg_constraint k on k.conrelid = a.attrelid and k.conkey = array[a.attnum] or k.contypid = a.atttypid
where a.attrelid = to_regclass(cast($1 as text)) and a.attname = $2 and k.contype = 'c' and pg_get_constraintdef(k.oid) not like '%NOT ENFORCED'`

func (s *Store) readPostgresChecks(ctx context.Context, p spelling) ([]check, error) {
	return collect(ctx, s.DB.QueryContext, readChecks, []any{p.table.String(), p.column.name}, func(row scanner) (c check, err error) {
		var validated bool
		err = row.Scan(&c.condition, &validated)
		c.means = guarded
		if validated {
			c.means = proven
		}
		return c, err
	})
}

// readSQLiteChecks takes the conditions from the text of the table's definition, because SQLite
// has no list of them.
func (s *Store) readSQLiteChecks(ctx context.Context, p spelling) ([]check, error) {
	texts, err := s.readSQLiteTexts(ctx, p, "name")
	var out []check
	for _, text := range texts {
		for _, condition := range conditions(text) {
			out = append(out, check{condition, proven})
		}
	}
	return out, err
}

// readSQLiteTexts reads the definition of the table, or of its triggers.
func (s *Store) readSQLiteTexts(ctx context.Context, p spelling, of string) ([]string, error) {
	query := `select sql from ` + quote(cmp.Or(p.table.schema, "main")) + `.sqlite_master where lower(` + of + `) = lower($1) and type = $2 order by name`
	kind := map[string]string{"name": "table", "tbl_name": "trigger"}[of]
	return readNames(ctx, s.DB, query, []any{p.table.table, kind})
}

// unguarded returns the events for which the table lacks the trigger that Check asks for. The
// trigger may have any name.
func (s *Store) unguarded(ctx context.Context, p spelling) (lacks []string, err error) {
	texts, err := s.readSQLiteTexts(ctx, p, "tbl_name")
	have := map[string]bool{}
	for _, text := range texts {
		have[body(text)] = true
	}
	for _, event := range []string{"insert", "update"} {
		if !have[body(p.trigger(event))] {
			lacks = append(lacks, event)
		}
	}
	return lacks, err
}

const readConstraintNames = `select conname from pg_constraint where conrelid = to_regclass(cast($1 as text))`

// freeSuffix returns a suffix with which the names of the SQL are not in use.
func (s *Store) freeSuffix(ctx context.Context, p spelling) (string, error) {
	query, args := readConstraintNames, []any{p.table.String()}
	if s.Dialect == SQLite { // the names of the triggers of all tables
		query, args = `select name from `+quote(cmp.Or(p.table.schema, "main"))+`.sqlite_master where type = 'trigger'`, nil
	}
	names, err := readNames(ctx, s.DB, query, args)
	used := func(name string) bool {
		if s.Dialect == Postgres {
			return name == p.constraint()
		}
		return slices.ContainsFunc(p.lacks, func(event string) bool { return strings.EqualFold(name, p.triggerName(event)) })
	}
	for n := 2; slices.ContainsFunc(names, used); n++ {
		p.suffix = "_" + strconv.Itoa(n)
	}
	return p.suffix, err
}

// body is the text of a trigger without its name.
func body(trigger string) string {
	_, after, _ := strings.Cut(strings.Join(strings.Fields(strings.ToLower(trigger)), " "), " before ")
	return after
}

// sample is an ID as Ory writes it.
const sample = "1d0e5a3c-7f2b-4c6d-9e8a-0b1c2d3e4f5a"

// misspellings returns other spellings of an ID: all that programs are known to write.
func misspellings(id string) []any {
	upper, bare := strings.ToUpper(id), strings.ReplaceAll(id, "-", "")
	return []any{upper, upper[:18] + id[18:], id[:18] + upper[18:], bare, strings.ToUpper(bare), "{" + id + "}", "{" + upper + "}", "(" + id + ")",
		"urn:uuid:" + id, " " + id, id + " ", " " + id + " ", "\t" + id, id + "\n"}
}

// refusesSpellings reports whether a condition accepts an ID as Ory writes it, and refuses it in
// every other spelling. A condition of several columns cannot be evaluated, and refuses nothing.
func (s *Store) refusesSpellings(ctx context.Context, p spelling, condition string) (bool, error) {
	if ok, err := s.accepts(ctx, p, condition, sample); err != nil || !ok {
		return false, err
	}
	tries := misspellings(sample)
	if s.Dialect == SQLite {
		tries = append(tries, []byte("\x1d\x0e\x5a\x3c\x7f\x2b\x4c\x6d\x9e\x8a\x0b\x1c\x2d\x3e\x4f\x5a"))
	}
	for _, other := range tries {
		if ok, err := s.accepts(ctx, p, condition, other); err != nil || ok {
			return false, err
		}
	}
	return true, nil
}

// accepts evaluates a condition for a value. It also returns false for another spelling that the
// column's type treats as equal to the sample. Such a spelling does no harm, because the store
// finds the row. An error of the condition is a refusal, because the row would not be written.
func (s *Store) accepts(ctx context.Context, p spelling, condition string, value any) (bool, error) {
	c, equal := quote(p.column.name), sample
	if value == sample {
		equal = ""
	}
	columns := p.cast("$2") + " as " + c
	if s.Dialect == Postgres && p.column.name != "value" { // the name in the condition of a domain
		columns += ", " + p.cast("$2") + " as value"
	}
	text := "select coalesce((" + condition + "), true) and " + c + " <> " + p.cast("$1") + " from (select " + columns + ") as " + quote(p.table.table)
	var accepted bool
	err := s.DB.QueryRowContext(ctx, text, equal, value).Scan(&accepted)
	if err != nil && (gone(err) || broken(err) || s.Dialect.outage(err)) {
		return false, err
	}
	return err == nil && accepted, nil
}

// cast gives a parameter the column's type, without its length.
func (p spelling) cast(param string) string {
	switch {
	case p.dialect == SQLite:
		return param
	case p.column.declared == "character":
		return "cast(cast(" + param + " as text) as bpchar)"
	}
	return "cast(cast(" + param + " as text) as " + p.column.declared + ")"
}

// conditions returns the conditions of the CHECKs in the definition of a table of SQLite.
func conditions(create string) (out []string) {
	for i := 0; i < len(create); {
		if next := skipQuoted(create, i); next > i {
			i = next
			continue
		}
		word := wordAt(create, i)
		i += max(1, len(word))
		if !strings.EqualFold(word, "check") {
			continue
		}
		if condition, end := parenthesised(create, i); end > i {
			out = append(out, condition)
			i = end
		}
	}
	return out
}

// parenthesised returns the text in the parentheses that begin at i or after blanks, and the
// index after them.
func parenthesised(s string, i int) (inside string, end int) {
	depth, from := 0, 0
	for at := i; at < len(s); at++ {
		if next := skipQuoted(s, at); next > at {
			at = next - 1
			continue
		}
		switch {
		case s[at] == '(':
			if depth++; depth == 1 {
				from = at + 1
			}
		case s[at] == ')':
			if depth--; depth == 0 {
				return s[from:at], at + 1
			}
		case depth == 0 && !strings.ContainsRune(" \t\r\n", rune(s[at])):
			return "", i
		}
	}
	return "", i
}

// quotes are the beginnings and ends of strings, of quoted names and of comments.
var quotes = [][2]string{{"'", "'"}, {`"`, `"`}, {"`", "`"}, {"[", "]"}, {"--", "\n"}, {"/*", "*/"}}

// skipQuoted returns the index after the string, the quoted name or the comment that begins at
// i, or i.
func skipQuoted(s string, i int) int {
	for _, q := range quotes {
		if rest, ok := strings.CutPrefix(s[i:], q[0]); ok {
			if n := strings.Index(rest, q[1]); n >= 0 {
				return i + len(q[0]) + n + len(q[1])
			}
			return len(s)
		}
	}
	return i
}

// wordAt returns the word that begins at i.
func wordAt(s string, i int) string {
	end := i
	for end < len(s) && (s[end] == '_' || s[end] >= '0' && s[end] <= '9' || s[end]|0x20 >= 'a' && s[end]|0x20 <= 'z' || s[end] >= 0x80) {
		end++
	}
	return s[i:end]
}
