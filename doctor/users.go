package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Table compares the application's users table with its configuration.
type Table interface {
	// Examine lists all faults. An error means "don't know".
	Examine(ctx context.Context) ([]TableFault, error)

	// UniqueColumns returns the unique columns that are filled from the identity.
	UniqueColumns(ctx context.Context) ([]string, error)
}

// TableFault is one fault of the table. Kind is one of no_layout, no_table, no_column,
// wrong_type, not_unique and refusing.
type TableFault struct {
	Kind   string
	Column string
	Is     string
	Fix    string
}

func (d *Doctor) checkDatabase(_ context.Context) Result {
	if d.Table == nil {
		return problem("%v", d.Database).breaks("nobody without a cached answer is let in, and link hooks are refused with 503; sign-ups go on, since reserve needs no database").
			fix("set database (SYMBOLON_DATABASE) to where it is and start it; a new one is made by symbolon migrate")
	}
	if _, err := d.faults(); err != nil {
		return unknown("run it again when the database answers", "the database could not be asked: %s", err)
	}
	return well("the database answers")
}

// tableWords says for each kind of fault what it breaks, and the result without the fault.
var tableWords = map[string]struct{ breaks, well string }{
	"no_layout":  {"serve brings them up to date when it starts, where its database user may; until then nobody gets a user", "Symbolon's own tables are there, in this program's version"},
	"no_table":   {"serve does not start", "the users table is there"},
	"no_column":  {"serve does not start", "every configured column is there"},
	"wrong_type": {"serve does not start: a value could not be written, for anybody", "every column can hold what is written to it"},
	"not_unique": {"serve does not start: two requests of one new person at the same moment would make two users", "key and identity column are unique"},
	"refusing":   {"serve does not start: the table would refuse the row of every new person", "new rows can be made"},
}

var databaseFirst = unknownUntil("database", "the database cannot be asked")

// needDatabase: the database answers.
func (d *Doctor) needDatabase() (Result, bool) {
	_, err := d.faults()
	return databaseFirst, err == nil
}

// needTable: the database answers, and has the users table.
func (d *Doctor) needTable() (Result, bool) {
	faults, err := d.faults()
	if err != nil {
		return databaseFirst, false
	}
	missing := slices.ContainsFunc(faults, func(f TableFault) bool { return f.Kind == "no_table" })
	return unknownUntil("table", "there is no users table"), !missing
}

func tableCheck(kind string) func(*Doctor, context.Context) Result {
	return func(d *Doctor, _ context.Context) Result {
		faults, _ := d.faults()
		words := tableWords[kind]
		var is, fix []string
		for _, f := range faults {
			if f.Kind == kind {
				is, fix = append(is, f.Is), append(fix, f.Fix)
			}
		}
		if len(is) > 0 {
			return problem("%s", strings.Join(is, "; ")).breaks("%s", words.breaks).fix("%s", strings.Join(slices.Compact(fix), "; "))
		}
		return well("%s", words.well)
	}
}

func (d *Doctor) checkRelease(ctx context.Context) Result {
	if _, ok := d.needTable(); !ok {
		return unknownUntil("table", "there is no users table to look at")
	}
	unique, err := d.Table.UniqueColumns(ctx)
	if err != nil {
		return unknown("run it again when the database answers", "the database could not be asked: %s", err)
	}
	stuck := Stuck(d.OnIdentityDeleted, unique, d.ReleaseColumns, d.AnonymiseColumns)
	if len(stuck) == 0 {
		return well("the row of a deleted identity keeps nothing that must be unique (users.on_identity_deleted: %s)", d.OnIdentityDeleted)
	}
	columns := strings.Join(stuck, ", ")
	return problem("the row of a deleted identity stays (users.on_identity_deleted: %s) and keeps its unique %s", d.OnIdentityDeleted, columns).
		breaks("a person who signs up again with the same %s gets a user without it, and finding duplicate_email", columns).
		fix("set users.release_columns: [%s], or users.on_identity_deleted: delete", strings.Join(append(slices.Clone(d.ReleaseColumns), stuck...), ", "))
}

// Stuck returns the unique columns that the row of a deleted identity would keep. An empty
// anonymise means that anonymising empties all columns.
func Stuck(policy symbolon.RowPolicy, unique, release, anonymise []string) (stuck []string) {
	if policy == symbolon.DeleteRow || policy == symbolon.AnonymiseRow && len(anonymise) == 0 {
		return nil
	}
	for _, column := range unique {
		freed := slices.Contains(release, column) || policy == symbolon.AnonymiseRow && slices.Contains(anonymise, column)
		if !freed {
			stuck = append(stuck, column)
		}
	}
	return stuck
}
