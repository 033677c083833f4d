package sqlstore

import (
	"context"
	"fmt"
	"strings"
)

// A column of text can hold the ID of an identity in another spelling than Ory's: in capital
// letters, without hyphens, in braces or with blanks. .NET and Django write UUIDs like that on
// SQLite. The store looks for the ID as Ory writes it, so it would not find such a row, and the
// person would get a second user. So Check demands that the database refuses other spellings,
// and that no row has one. A store that runs without this guarantee, because it was lost or
// Check was not called, looks for the usual spellings before it makes a user.

// asOryWrites is the condition for a value of the column. The four hyphens have their places,
// so that a value that is another spelling of an ID cannot meet it.
const asOryWrites = `{c} = lower({c}) and {c} like '________-____-____-____-____________'`

// plainID is the ID in lower case, without blanks, braces and hyphens, and ourID is the ID as
// Ory writes it.
const (
	plainID = `replace(replace(lower(trim({c}, ' {}()')), 'urn:uuid:', ''), '-', '')`
	ourID   = `substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-' || substr(h, 13, 4) || '-' || substr(h, 17, 4) || '-' || substr(h, 21)`
)

// The statements about the spelling.
const (
	countMisspelt = `select coalesce(sum(case when {isID} then 1 else 0 end), 0), coalesce(sum(case when {isID} then 0 else 1 end), 0) from {t} where not ({ours})`

	readDoubled = `select plain, count(*) from (select {plain} as plain from {t} where {isID}) as spelled group by plain having count(*) > 1 order by 1 limit 10`

	respell = `update {t} set {column} = (select ` + ourID + ` from (select {plain} as h) as p) where not ({ours}) and {isID}`

	addSpellingCheck      = `alter table {t} add constraint {name} check ({ours}) not valid`
	validateSpellingCheck = `alter table {t} validate constraint {name}`

	// SQLite cannot add a CHECK to a column that exists.
	addSpellingTrigger = `create trigger if not exists {trigger} before {event} on {table} when not ({new}) begin select raise(abort, 'the column takes the ID of an identity in lower case with hyphens'); end`
)

// spelling is the SQL about the spelling of the IDs in the identity column.
type spelling struct {
	dialect Dialect
	users   Users
	table   tableName
	column  column
}

func (s *Store) spelling(t table) spelling {
	u := s.users()
	return spelling{dialect: s.Dialect, users: u, table: u.parts(), column: t.columns[u.identity()]}
}

// free reports whether the type of the column allows other spellings. SQLite has no type for
// UUIDs, whatever the column is declared as.
func (p spelling) free() bool {
	return p.column.kind == text || p.dialect == SQLite && p.column.kind == uuid
}

func (p spelling) fill(text string, more ...string) string {
	c := quote(p.column.name)
	if p.column.declared == "character" { // it is padded with blanks
		c = "cast(" + c + " as text)"
	}
	isID := `{plain} ~ '^[0-9a-f]{32}$'`
	if p.dialect == SQLite {
		isID = `length({plain}) = 32 and {plain} not glob '*[^0-9a-f]*'`
	}
	plain := strings.ReplaceAll(plainID, "{c}", c)
	return strings.NewReplacer(append([]string{
		"{t}", p.table.String(), "{table}", quote(p.table.table), "{column}", quote(p.column.name),
		"{ours}", strings.ReplaceAll(asOryWrites, "{c}", c), "{plain}", plain, "{isID}", strings.ReplaceAll(isID, "{plain}", plain),
		"{new}", strings.ReplaceAll(asOryWrites, "{c}", "new."+quote(p.column.name)),
		"{name}", quote(p.column.name + "_spelling"),
	}, more...)...).Replace(text)
}

// trigger is the trigger that refuses other spellings, when rows are inserted or updated.
func (p spelling) trigger(event string) string {
	name := tableName{p.table.schema, p.table.table + "_" + p.column.name + "_spelling_" + event}
	if event == "update" {
		event += " of " + quote(p.column.name)
	}
	return p.fill(addSpellingTrigger, "{trigger}", name.String(), "{event}", event)
}

// sql returns the statements after which every ID is spelled as Ory does, and stays so. misspelt
// says whether rows have to be written. The order is safe while the application writes rows.
func (p spelling) sql(have proof, misspelt bool) (out []string) {
	switch {
	case have != unproven:
	case p.dialect == SQLite:
		out = append(out, p.trigger("insert"), p.trigger("update"))
	default:
		out = append(out, p.fill(addSpellingCheck))
	}
	if misspelt {
		out = append(out, p.fill(respell))
	}
	if have == unproven && p.dialect == Postgres {
		out = append(out, p.fill(validateSpellingCheck))
	}
	return out
}

// counted are the rows that do not hold an ID as Ory writes it.
type counted struct {
	misspelt int      // they hold an ID in another spelling
	strange  int      // they hold something else
	doubled  []string // identities that are in several rows, and the numbers of rows
}

func (s *Store) countSpellings(ctx context.Context, p spelling) (n counted, err error) {
	if err := s.DB.QueryRowContext(ctx, p.fill(countMisspelt)).Scan(&n.misspelt, &n.strange); err != nil || n.misspelt == 0 {
		return n, err
	}
	n.doubled, err = collect(ctx, s.DB.QueryContext, p.fill(readDoubled), nil, func(row scanner) (string, error) {
		var plain string
		var rows int
		err := row.Scan(&plain, &rows)
		return fmt.Sprintf("%s (%d rows)", plain, rows), err
	})
	return n, err
}

// checkSpelling checks that every ID is spelled as Ory does, and that the database refuses other
// spellings. If the database has validated a constraint, or if the table has other faults, no row
// is read.
func (s *Store) checkSpelling(ctx context.Context, t table, sound bool) ([]error, error) {
	p := s.spelling(t)
	have, err := s.proves(ctx, p)
	if err != nil {
		return nil, unavailable("read the constraints of table "+p.users.table(), err)
	}
	if have == proven {
		return nil, nil
	}
	var n counted
	if sound {
		n, err = s.countSpellings(ctx, p)
	}
	if err != nil {
		return nil, unavailable("read how identities are spelled in table "+p.users.table(), err)
	}
	if have == guarded && n.misspelt+n.strange == 0 {
		return nil, nil
	}
	return []error{p.fault(have, n)}, nil
}

func rows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// fault describes what is wrong with the spelling. The SQL is at the end, so that it can be
// copied.
func (p spelling) fault(have proof, n counted) error {
	var is, fix []string
	if have == unproven {
		is = append(is, "is of type "+strings.ToLower(p.column.declared)+", and the database accepts IDs in another spelling than Ory's, so that their people would get a second user")
	}
	if n.misspelt > 0 {
		is = append(is, "has "+rows(n.misspelt)+" with such a spelling, which would not be found")
	}
	if n.strange > 0 {
		is = append(is, "has "+rows(n.strange)+" with something else than the ID of an identity")
		fix = append(fix, p.fill("look at the rows with something else (select * from {t} where not ({ours}) and not ({isID})) and set their column to null"))
	}
	if len(n.doubled) > 0 {
		is = append(is, "has identities in several rows, in different spellings: "+strings.Join(n.doubled, ", "))
		fix = append(fix, "decide which row each of these identities keeps, and set the column of the others to null")
	}
	if todo := p.sql(have, n.misspelt > 0); len(todo) > 0 {
		run := "run: "
		if p.dialect == Postgres {
			run = "make the column a uuid, or run: "
		}
		if len(fix) > 0 {
			run = "then " + run
		}
		fix = append(fix, run+strings.Join(todo, "; ")+";")
	}
	return &Fault{Kind: Spelling, Column: p.column.name, Is: "column " + p.users.table() + "." + p.column.name + " " + strings.Join(is, "; it "),
		Fix: strings.Join(fix, "; "), atStart: true}
}

// misspelt returns the user whose row has the identity in another spelling, if nothing keeps
// the application from writing it.
func (w *writer) misspelt(ctx context.Context) (user string, err error) {
	if w.shape.read.spelling != unproven {
		return "", nil
	}
	others := misspellings(string(w.q.Reading.Identity.ID))
	found, err := collect(ctx, w.db.query, userOfIdentities+"("+places(len(others))+")", others, scanOne[string])
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0], nil
}
