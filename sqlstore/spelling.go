package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/pipeline"
)

// A column of text can hold the ID of an identity in another spelling than Ory's: in capital
// letters, without hyphens, in braces or with blanks. .NET and Django write UUIDs like that on
// SQLite. The store looks for the ID as Ory writes it, so it would not find such a row, and the
// person would get a second user. So Check demands that the database refuses other spellings,
// and that no row has one. This guarantee can be lost while the store runs, and the store may not
// know it yet. So it looks for the usual spellings before it makes a user, unless the column is
// a uuid of Postgres.

// asOryWrites is the condition for a value of the column: lower case, 36 characters, and the
// four hyphens in their places. No other spelling of an ID meets this condition.
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
	addSpellingTrigger = `create trigger {trigger} before {event} on {table} when not ({new}) begin select raise(abort, 'the column takes the ID of an identity in lower case with hyphens'); end`
)

// spelling is the SQL about the spelling of the IDs in the identity column.
type spelling struct {
	dialect Dialect
	users   Users
	table   tableName
	column  column
	relation

	// The name of the constraint or of the triggers ends in suffix, because a weaker constraint,
	// or the triggers of a table that was renamed, may have the usual name. lacks are the events
	// that no trigger guards. Both are set by Store.proves.
	suffix string
	lacks  []string
}

func (s *Store) spelling(t table) spelling {
	u := s.users()
	return spelling{dialect: s.Dialect, users: u, table: u.parts(), column: t.columns[u.identity()], relation: t.relation}
}

// free reports whether the type of the column allows other spellings. SQLite has no type for
// UUIDs, whatever the column is declared as.
func (p spelling) free() bool {
	return p.column.kind == text || p.dialect == SQLite && p.column.kind == uuid
}

// mayHold reports whether the column may hold other spellings, whatever the last reading found.
// Only Symbolon's migrations alter Symbolon's own table.
func (p spelling) mayHold(have proof) bool {
	return p.free() && (have != proven || p.users.table() != defaultTable)
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
		"{name}", quote(p.constraint()),
	}, more...)...).Replace(text)
}

// constraint is the name of the constraint on Postgres, where a name has 63 bytes at most.
func (p spelling) constraint() string {
	return strings.ToValidUTF8(p.column.name[:min(len(p.column.name), 48)], "") + "_spelling" + p.suffix
}

func (p spelling) triggerName(event string) string {
	return p.table.table + "_" + p.column.name + "_spelling_" + event + p.suffix
}

// trigger is the trigger that refuses other spellings, when rows are inserted or updated.
func (p spelling) trigger(event string) string {
	name := tableName{p.table.schema, p.triggerName(event)}
	if event == "update" {
		event += " of " + quote(p.column.name)
	}
	return p.fill(addSpellingTrigger, "{trigger}", name.String(), "{event}", event)
}

// sql returns the statements after which every ID is spelled as Ory spells it, and stays so. misspelt
// says whether rows have to be written. The order is safe while the application writes rows.
func (p spelling) sql(have proof, misspelt bool) (out []string) {
	switch {
	case have != unproven:
	case p.dialect == SQLite:
		for _, event := range p.lacks {
			out = append(out, p.trigger(event))
		}
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

// checkSpelling checks that every ID is spelled as Ory spells it, and that the database refuses other
// spellings. If the database has validated a constraint, or if the table has other faults, no row
// is read.
func (s *Store) checkSpelling(ctx context.Context, t table, sound bool) ([]error, error) {
	p := s.spelling(t)
	have, err := s.proves(ctx, &p)
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

// spellingFaults returns the fault of a store that runs. If the guarantee is back, the rows that
// were written without it are counted. The fault stays if they cannot be counted.
func (s *Store) spellingFaults(ctx context.Context, p spelling, have proof) []error {
	if have == unproven {
		return []error{p.fault(have, counted{})}
	}
	known := s.state.misspelt()
	if have == proven || known == nil {
		return nil
	}
	switch n, err := s.countSpellings(ctx, p); {
	case err != nil:
		return []error{known}
	case n.misspelt+n.strange > 0:
		return []error{p.fault(have, n)}
	}
	return nil
}

// misspelt returns the fault of the spelling that the last reading found.
func (t *tableState) misspelt() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.faults {
		if f.Kind == Spelling {
			return f
		}
	}
	return nil
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

// otherSpellings looks for the user whose row has an identity in another spelling.
type otherSpellings struct {
	statement *pipeline.Statement // nil: the column allows no other spelling
	user      sql.NullString
}

func (s *Store) otherSpellings(t *shape, id symbolon.IdentityID) *otherSpellings {
	o, p := &otherSpellings{}, s.spelling(t.read)
	if !p.mayHold(t.read.spelling) {
		return o
	}
	others := misspellings(string(id))
	o.statement = s.statement("select ("+userOfIdentities+"("+p.list(len(others))+") limit 1)", others...)
	o.statement.Row = []any{&o.user}
	return o
}

// list returns n parameters of the column's type. If the column has become a uuid, the statement
// fails because of its types, and the shape is read again.
func (p spelling) list(n int) string {
	if p.dialect == SQLite { // see many
		return "?" + strings.Repeat(", ?", n-1)
	}
	var b strings.Builder
	for i := range n {
		b.WriteString(comma(i) + p.cast("$"+strconv.Itoa(i+1)))
	}
	return b.String()
}

// misspelt returns the user whose row has the identity in another spelling.
func (w *writer) misspelt(ctx context.Context) (user string, err error) {
	if w.others.statement == nil {
		return "", nil
	}
	err = w.db.do(ctx, w.others.statement)
	return w.others.user.String, err
}

// spelledAlike is the number of identities whose other spellings one query looks for.
const spelledAlike = 35

// misspelt returns the indexes in b.qs of the identities whose ID a row holds in another spelling.
func (b *bulk) misspelt(ctx context.Context, strangers []int) (map[int]bool, error) {
	p, found := b.store.spelling(b.shape.read), map[int]bool{}
	if !p.mayHold(b.shape.read.spelling) || len(strangers) == 0 {
		return found, nil
	}
	return retryRead(ctx, b.store, "look for other spellings of many identities", func(ctx context.Context) (map[int]bool, error) {
		for some := range slices.Chunk(strangers, spelledAlike) {
			if err := b.askMisspelt(ctx, p, some, found); err != nil {
				return nil, err
			}
		}
		return found, nil
	})
}

func (b *bulk) askMisspelt(ctx context.Context, p spelling, some []int, found map[int]bool) error {
	var others []any
	at := map[string]int{}
	for n := range spelledAlike { // always the same number, so that the statement is prepared once
		i := some[min(n, len(some)-1)]
		id := string(b.qs[i].Reading.Identity.ID)
		at[plainOf(id)] = i
		others = append(others, misspellings(id)...)
	}
	values, err := collect(ctx, session{store: b.store}.query, identitiesIn+"("+p.list(len(others))+")", others, scanOne[string])
	for _, value := range values {
		if i, ok := at[plainOf(value)]; ok {
			found[i] = true
		}
	}
	return err
}

// plainOf is plainID for one of misspellings.
func plainOf(spelled string) string {
	return strings.NewReplacer("urn:uuid:", "", "-", "").Replace(strings.Trim(strings.ToLower(spelled), " {}()\t\n"))
}
