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

	// Rights returns the rights that the database user lacks. The fix of each is its GRANT.
	Rights(ctx context.Context) ([]TableFault, error)

	// Doubts returns what the catalogue of the database cannot tell about new rows.
	Doubts(ctx context.Context) ([]string, error)
	// Unsettled reports whether identities that are older than the ledger wait for an
	// adoption, or would wait after the first start.
	Unsettled(ctx context.Context) (bool, error)

	// Triggers returns the application's triggers that run when Symbolon writes rows.
	Triggers(ctx context.Context) ([]TableTrigger, error)
}

// TableTrigger is a trigger of the users table. Ignores says that it may ignore a write without
// an error.
type TableTrigger struct {
	Name    string
	Ignores bool
}

// Proof is what an insert that was rolled back has shown. Refused says why the table refused the
// row. Sampled are the required columns that got a sample, because the traits had no value.
type Proof struct {
	Refused string
	Sampled []string
}

// TableFault is one fault of the table. Kind is one of no_layout, other_table, no_table,
// no_column, wrong_type, not_unique, refusing, spelling, hiding and forbidden.
type TableFault struct {
	Kind    string
	Column  string
	Is      string
	Fix     string
	LeftOut bool // Symbolon works, and leaves the column out
}

func (d *Doctor) checkDatabase(_ context.Context) Result {
	if d.Table == nil {
		return problem("%v", d.Database).breaks("requests without a cached answer get 503, and link hooks get 503; sign-ups go on, because reserve needs no database").
			fix("set database (SYMBOLON_DATABASE) to its address, and start it; symbolon migrate makes a new one")
	}
	if _, err := d.faults(); err != nil {
		return unknown("run it again when the database answers", "the database could not be queried: %s", err)
	}
	return well("the database answers")
}

// tableWords has, for each kind of fault, what the fault breaks, and the text if there is no fault.
var tableWords = map[string]struct{ breaks, well string }{
	"no_layout":   {"symbolon serve updates them when it starts, if its database user has the right; until then nobody gets a user", "Symbolon's own tables are there, in this program's version"},
	"other_table": {"symbolon serve does not start, because the ledger names the users of another table", "the ledger of this project belongs to this users table"},
	"no_table":    {"symbolon serve does not start", "the users table exists"},
	"no_column":   {"symbolon serve does not start", "every configured column exists"},
	"wrong_type":  {"symbolon serve does not start, because no value could be written to the column", "every column can hold its values"},
	"not_unique":  {"symbolon serve does not start, because two requests of one new person at the same moment would make two users", "the key and the identity column are unique"},
	"refusing":    {"symbolon serve does not start, because the table would refuse the row of every new person", "the table accepts new rows"},
	"spelling":    {"symbolon serve does not start, because a person whose row has the ID in another spelling would get a second user", "every identity's ID is spelled as Ory spells it, and the database ensures that this does not change"},
	"hiding":      {"symbolon serve does not start, because a person whose row is hidden would be denied, or would get a second user", "row level security hides no row"},
}

const leftOutBreaks = "symbolon serve works, but the column is left out: it is not filled, and not emptied when an identity is gone"

var databaseFirst = unknownUntil("database", "the database cannot be queried")

// needDatabase requires that the database answers.
func (d *Doctor) needDatabase() (Result, bool) {
	_, err := d.faults()
	return databaseFirst, err == nil
}

// needTable requires that the database answers and has the users table.
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
		breaks := leftOutBreaks
		var is, fix []string
		for _, f := range faults {
			if f.Kind == kind {
				is, fix = append(is, f.Is), append(fix, f.Fix)
				if !f.LeftOut {
					breaks = words.breaks
				}
			}
		}
		if len(is) > 0 {
			return problem("%s", strings.Join(is, "; ")).breaks("%s", breaks).fix("%s", strings.Join(slices.Compact(fix), "; "))
		}
		return well("%s", words.well)
	}
}

// checkRow adds to the faults of the table what only a proof can tell.
func (d *Doctor) checkRow(ctx context.Context) Result {
	if r := tableCheck("refusing")(d, ctx); r.Verdict != OK {
		return r
	}
	if d.Prove != nil {
		return d.proveRow(ctx)
	}
	doubts, err := d.Table.Doubts(ctx)
	switch {
	case err != nil:
		return unqueried(err)
	case len(doubts) > 0:
		return unknown("run symbolon doctor --prove, which inserts a row and rolls it back", "%s; the database's catalogue does not say whether that is so", strings.Join(doubts, "; "))
	}
	return well("%s", tableWords["refusing"].well)
}

func (d *Doctor) proveRow(ctx context.Context) Result {
	proof, err := d.Prove(ctx)
	sampled := ""
	if len(proof.Sampled) > 0 {
		sampled = "; --traits had no value for " + strings.Join(proof.Sampled, ", ") + ", so a sample was written"
	}
	switch {
	case err != nil:
		return unqueried(err)
	case proof.Refused != "" && len(proof.Sampled) > 0:
		return unknown("run it again with --traits that fill these columns", "the table refused a row, which was rolled back: %s%s", proof.Refused, sampled)
	case proof.Refused != "":
		return problem("the table refused a row, which was rolled back: %s", proof.Refused).
			breaks("a person with such data gets no user").fix("correct the table, its triggers or users.columns, or run it again with the --traits of a real person")
	}
	return well("the table took a row, which was rolled back%s", sampled)
}

func (d *Doctor) checkRights(ctx context.Context) Result {
	if d.Table == nil {
		return databaseFirst
	}
	missing, err := d.Table.Rights(ctx)
	if err != nil {
		return unqueried(err)
	}
	faults, _ := d.faults()
	for _, f := range faults {
		if f.Kind == "forbidden" { // a right on the columns of users.deny
			missing = append(missing, f)
		}
	}
	if len(missing) == 0 {
		return well("the database user has every right that Symbolon needs")
	}
	var is, fix []string
	for _, f := range missing {
		is, fix = append(is, f.Is), append(fix, f.Fix)
	}
	return problem("%s", strings.Join(is, "; ")).breaks("everybody whose row must be written, or judged by users.deny, gets 503, and hooks wait").
		fix("run as the owner: %s;", strings.Join(fix, "; "))
}

func (d *Doctor) checkTriggers(ctx context.Context) Result {
	triggers, err := d.Table.Triggers(ctx)
	if err != nil {
		return unqueried(err)
	}
	var all, ignoring []string
	for _, t := range triggers {
		all = append(all, t.Name)
		if t.Ignores {
			ignoring = append(ignoring, t.Name)
		}
	}
	switch names := strings.Join(all, ", "); {
	case len(all) == 0:
		return well("the users table has no triggers")
	case len(ignoring) == 0:
		return well("these triggers run when Symbolon writes rows, and none ignores a write: %s", names)
	}
	names := strings.Join(ignoring, ", ")
	return problem("these triggers or rules of the users table can ignore a write without an error: %s", names).
		breaks("the person whose row they ignore gets no user, or keeps old values, and a finding says that a trigger ignored the write").
		fix("let %s raise an error, or exempt the rows that Symbolon writes", names)
}

// checkStart finds people who wait for an adoption.
func (d *Doctor) checkStart(ctx context.Context) Result {
	waits, err := d.Table.Unsettled(ctx)
	if err != nil {
		return unqueried(err)
	}
	if !waits {
		return well("every identity without a user gets a new one")
	}
	return problem("the users table has rows without an identity, and it is not settled which identities they belong to").
		breaks("an identity that is older than Symbolon's ledger gets 403 link_on_hold, because a new user may be its second; people who sign up from now on are not affected").
		fix("symbolon adopt shows which users have an identity, and symbolon adopt --apply binds them; if nobody at Ory has a row, run symbolon adopt --start-fresh")
}

func unqueried(err error) Result {
	return unknown("run it again when the database answers", "the database could not be queried: %s", err)
}

func (d *Doctor) checkRelease(ctx context.Context) Result {
	if _, ok := d.needTable(); !ok {
		return unknownUntil("table", "there is no users table to check")
	}
	unique, err := d.Table.UniqueColumns(ctx)
	if err != nil {
		return unqueried(err)
	}
	stuck := Stuck(d.OnIdentityDeleted, unique, d.ReleaseColumns)
	if len(stuck) == 0 {
		return well("the row of a deleted identity keeps no value that must be unique (users.on_identity_deleted: %s)", d.OnIdentityDeleted)
	}
	columns := strings.Join(stuck, ", ")
	return problem("the row of a deleted identity stays (users.on_identity_deleted: %s) and keeps the values of unique columns: %s", d.OnIdentityDeleted, columns).
		breaks("a person who signs up again with the same %s gets a user without it, and the finding duplicate_email is recorded", columns).
		fix("set users.release_columns: [%s], or users.on_identity_deleted: delete", strings.Join(append(slices.Clone(d.ReleaseColumns), stuck...), ", "))
}

// Stuck returns the unique columns whose value the row of a deleted identity would keep. A row
// that is anonymised keeps no value of a person, whatever users.anonymise_columns says.
func Stuck(policy symbolon.RowPolicy, unique, release []string) (stuck []string) {
	if policy == symbolon.DeleteRow || policy == symbolon.AnonymiseRow {
		return nil
	}
	for _, column := range unique {
		if !slices.Contains(release, column) {
			stuck = append(stuck, column)
		}
	}
	return stuck
}
