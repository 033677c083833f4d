package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/projection"
)

// Fault is one fault of the users table or of Symbolon's own tables.
type Fault struct {
	Kind   FaultKind
	Column string // the column of the users table; empty: the table as a whole
	Is     string // what was found
	Fix    string // how to fix it

	// LeftOut says that Symbolon works nevertheless: it leaves the column out.
	LeftOut bool

	// atStart says that the fault keeps a program from starting, because Check returns it, but
	// does not stop a store that runs already. It is not set together with LeftOut.
	atStart bool
}

func (f *Fault) Error() string { return "sqlstore: " + f.Is + ": " + f.Fix }

// FaultKind is the kind of a fault.
type FaultKind string

// The kinds.
const (
	NoTable    FaultKind = "no_table"    // there is no users table
	NoColumn   FaultKind = "no_column"   // a configured column does not exist
	WrongType  FaultKind = "wrong_type"  // a column cannot hold what is written to it
	NotUnique  FaultKind = "not_unique"  // the key or the identity column has no unique index
	Refusing   FaultKind = "refusing"    // the table would refuse rows as Symbolon writes them
	Spelling   FaultKind = "spelling"    // an identity may be spelled in another way than Ory's
	Hiding     FaultKind = "hiding"      // row level security may hide rows from Symbolon
	Forbidden  FaultKind = "forbidden"   // the database user lacks a right
	OtherTable FaultKind = "other_table" // the project's links belong to another users table
	NoLayout   FaultKind = "no_layout"   // Symbolon's own tables are missing, or have another version
)

// Check returns the faults of the field Users, of the users table and of Symbolon's own
// tables, one sentence each. It returns nil if there are none. Programs call it when they
// start. If a column that Symbolon fills is missing, Check returns no error for it, because
// this must not keep people out. The store leaves the column out, and [Store.TableFaults] has
// the fault. Check only reads.
func (s *Store) Check(ctx context.Context) error {
	faults, err := s.Examine(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(slices.DeleteFunc(faults, isLeftOut)...); err != nil {
		return err
	}
	_, err = s.table(ctx)
	return err
}

func isLeftOut(err error) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && f.LeftOut
}

// Examine returns all faults, also those with which Symbolon works: each one is a *[Fault].
// err says that the description itself is wrong, or that the database did not answer.
func (s *Store) Examine(ctx context.Context) (faults []error, err error) {
	if err := s.setup(); err != nil {
		return nil, err
	}
	t, err := readTable(ctx, s.DB, s.Dialect, s.users().parts())
	if err != nil {
		return nil, unavailable("read the shape of table "+s.users().table(), err)
	}
	if faults, err = s.checkLayout(ctx); err != nil {
		return nil, err
	}
	if len(t.columns) == 0 {
		f, err := s.elsewhere(ctx)
		if err != nil {
			return nil, err
		}
		if f != nil {
			return append(faults, f), nil
		}
	}
	if err := s.users().checkRelation(t); err != nil {
		return append(faults, err), nil
	}
	_, unfit := fitUsers(s.users(), s.Dialect, t, nil)
	faults = append(faults, unfit...)
	faults = append(faults, s.checkKey(t)...)
	faults = append(faults, s.checkIdentity(t)...)
	faults = append(faults, s.users().emptyColumns(t)...)
	hiding, err := s.checkHidden(ctx)
	if err != nil {
		return nil, err
	}
	faults = append(faults, hiding...)
	if t.columns[s.users().identity()].collation != "" {
		return faults, nil // Postgres refuses to compare it by like
	}
	sound := !slices.ContainsFunc(faults, func(err error) bool { return !isLeftOut(err) })
	misspelt, err := s.checkSpelling(ctx, t, sound)
	if err != nil || !sound {
		return append(faults, misspelt...), err
	}
	undecided, err := s.probeDeny(ctx)
	if err != nil {
		return nil, err
	}
	strangers, err := s.checkStrangers(ctx)
	return slices.Concat(faults, undecided, misspelt, strangers), err
}

// otherSchemas are the schemas that have a table with the name $1.
const otherSchemas = `
select quote_ident(n.nspname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relname = $1 and c.relkind in ('r', 'p', 'v') and n.nspname not like 'pg\_%' order by 1`

// elsewhere is the fault of a table that is in a schema that Postgres does not look into: it is
// not in the search path, or the database user may not use it.
func (s *Store) elsewhere(ctx context.Context) (*Fault, error) {
	name := s.users().parts()
	if s.Dialect != Postgres || name.schema != "" {
		return nil, nil
	}
	schemas, err := readNames(ctx, s.DB, otherSchemas, []any{name.table})
	if err != nil {
		return nil, unavailable("look for table "+name.table, err)
	}
	if len(schemas) == 0 {
		return nil, nil
	}
	var grants []string
	for _, schema := range schemas {
		grants = append(grants, fmt.Sprintf("grant usage on schema %s to %s;", schema, s.user(ctx)))
	}
	return &Fault{Kind: NoTable, Is: fmt.Sprintf("there is no table %s where Postgres looks, but one in schema %s", name.table, strings.Join(schemas, ", ")),
		Fix: fmt.Sprintf("name it with its schema in users.table: %s.%s. If the schema is in the search path already, the database user may not use it: %s", schemas[0], name.table, strings.Join(grants, " "))}, nil
}

// faultOf describes a fault of a column.
func (u Users) faultOf(kind FaultKind, column, is, fix string, args ...any) error {
	return &Fault{Kind: kind, Column: column, Is: "column " + u.table() + "." + column + " " + is, Fix: fmt.Sprintf(fix, args...)}
}

// checkKey checks that the key column can hold the new IDs.
func (s *Store) checkKey(t table) (faults []error) {
	u := s.users()
	c, ok := t.columns[u.id()]
	if !ok || !c.kind.key() {
		return nil // said already
	}
	fault := func(kind FaultKind, is, fix string) {
		faults = append(faults, u.faultOf(kind, u.id(), is, "%s", fix))
	}
	if !slices.Contains(t.unique, c.name) {
		faults = append(faults, u.notUnique(s.Dialect, t, u.id(), "is the key and has no unique index"))
	}
	if n := u.newIDLength(); c.limit > 0 && n > c.limit {
		fault(WrongType, fmt.Sprintf("is of type %s(%d), and the IDs that new_id %s makes have %d characters", c.declared, c.limit, u.newID(), n), u.widen(c, n))
	}
	switch u.newID() {
	case ByDatabase:
		if !c.preset && t.rowid != c.name && t.mayFill(c.name) == "" {
			fault(Refusing, "is not filled by the database", "new_id database needs a key that the database fills: make it `serial` or `generated as identity`, or give it a default, or set new_id to uuidv7")
		}
	case ByMint, ByIdentity:
		if c.kind.integer() {
			fault(WrongType, "is of type "+c.declared+", which cannot hold the UUIDs that new_id "+string(u.newID())+" makes", "set new_id to database")
		}
		if c.generated {
			fault(Refusing, "is generated, so no ID can be written to it", "set new_id to database")
		}
	case ByApplication:
	default: // a template, or a function of the program
		if template := u.newID(); template.Template() && (c.kind.integer() || c.kind == uuid && !plainUUID(template)) {
			fault(WrongType, "is of type "+c.declared+", which cannot hold the IDs that new_id "+string(template)+" makes", "make it text, or set new_id to database or uuidv7")
		}
	}
	return faults
}

// widen is the SQL after which a column of text holds n characters.
func (u Users) widen(c column, n int) string {
	fix := fmt.Sprintf("run: alter table %s alter column %s type varchar(%d);", u.parts(), quote(c.name), n)
	if c.name != u.id() {
		return fix
	}
	var shorter []string
	for _, template := range []symbolon.NewID{"{ulid}", "{nanoid}"} {
		if mint.TemplateLength(string(template)) <= c.limit {
			shorter = append(shorter, string(template))
		}
	}
	if len(shorter) == 0 {
		return fix
	}
	return fix + " or set new_id to " + strings.Join(shorter, " or ")
}

// lengthOfID is the length of a UUID as text.
const lengthOfID = 36

// checkIdentity checks that the identity column is unique and may be null.
func (s *Store) checkIdentity(t table) (faults []error) {
	u := s.users()
	c, ok := t.columns[u.identity()]
	if !ok {
		return nil // said already
	}
	fault := func(kind FaultKind, is, fix string, args ...any) {
		faults = append(faults, u.faultOf(kind, u.identity(), is, fix, args...))
	}
	if c.kind != text && c.kind != uuid {
		fault(WrongType, "is of type "+c.declared+", which cannot hold an Ory identity's ID", "make it uuid or text")
	}
	if !slices.Contains(t.unique, c.name) {
		faults = append(faults, u.notUnique(s.Dialect, t, c.name, "has no unique index, so that one identity could have two users"))
	}
	if c.kind == text && c.limit > 0 && c.limit < lengthOfID {
		fault(WrongType, fmt.Sprintf("is of type %s(%d), and the ID of an identity has %d characters", c.declared, c.limit, lengthOfID), "%s", u.widen(c, lengthOfID))
	}
	if c.notNull && !u.one() {
		fault(Refusing, "must allow null: a user whose identity was taken away has no identity", "alter it to allow null")
	}
	if c.generated {
		fault(Refusing, "is generated and cannot be written", "name another column in users.identity")
	}
	return faults
}

// emptyColumns finds required columns that a new row would leave empty.
func (u Users) emptyColumns(t table) (faults []error) {
	if t.columns[u.id()].name == "" {
		return nil // said already
	}
	projections, _ := projection.ParseAll(u.columns())
	for _, p := range projections {
		if c := t.columns[p.Column]; c.notNull && !c.preset && p.Transient() && p.Literal == nil {
			faults = append(faults, u.faultOf(Refusing, c.name, "is not null and has no default, and "+p.Path+" often comes after the row was made",
				"write default(%s, '') in users.columns, with a value of yours", p.Path))
		}
	}
	for _, name := range u.unfilled(t) {
		if c := t.columns[name]; t.mayFill(name) == "" {
			fix := "give it a default, or fill it in users.columns, from a path or with a constant"
			if c.kind == instant {
				fix = "fill it with now or updated_at in users.columns, or give it a default"
			}
			faults = append(faults, u.faultOf(Refusing, name, "is not null and has no default", "%s", fix))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

// fills are the columns that Symbolon fills in a new row.
func (u Users) fills() map[string]bool {
	out := map[string]bool{u.id(): true, u.identity(): true}
	projections, _ := projection.ParseAll(u.columns())
	for _, p := range projections {
		out[p.Column] = p.Path != "" || p.Literal != nil
	}
	return out
}

// checkLayout compares Symbolon's own tables with the migrations.
func (s *Store) checkLayout(ctx context.Context) ([]error, error) {
	own, err := readTable(ctx, s.DB, s.Dialect, Users{Table: s.Dialect.prefix() + "layout"}.parts())
	if err != nil {
		return nil, unavailable("read the shape of Symbolon's tables", err)
	}
	if len(own.columns) == 0 {
		return layoutFault("Symbolon's tables are missing", runMigrations), nil
	}
	var have int
	if err := s.DB.QueryRowContext(ctx, s.sql.fill(layoutVersion)).Scan(&have); err != nil {
		return nil, unavailable("read the version of Symbolon's tables", err)
	}
	switch want := newestMigration(s.Dialect); {
	case have < want:
		return layoutFault(fmt.Sprintf("Symbolon's tables are at version %d of %d", have, want), runMigrations), nil
	case have > want:
		return layoutFault(fmt.Sprintf("Symbolon's tables are at version %d, but this program knows only %d", have, want), "upgrade the program"), nil
	}
	return nil, nil
}

const runMigrations = "run Symbolon's migrations (symbolon migrate, or migrate.Up)"

func layoutFault(is, fix string) []error { return []error{&Fault{Kind: NoLayout, Is: is, Fix: fix}} }

// newestMigration is the number of the latest migration. They are numbered from 1 without gaps.
func newestMigration(d Dialect) int {
	files, _ := fs.ReadDir(Migrations, string(d)) // embedded
	return len(files)
}
