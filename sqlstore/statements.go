package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon/internal/pipeline"
)

// The statements are written once for both databases. Only names are filled in: "symbolon."
// is a schema on Postgres and the prefix "symbolon_" on SQLite, and {users}, {id} and
// {identity} are quoted names that Users.validate has accepted. Values are always
// parameters. {denied u} and {denied c} are the code of the condition of Users.Deny that the
// row meets, and {denied bond} is that code for the row of the identity $3. The parameters appear in the order of their numbers, because some drivers
// need that.

// read reads all evidence about an identity: its entry ($1, $2), the row that holds the
// identity ($4), and one claimed user ($3 as text, $5 as the key). Values that depend on a
// row are read by subqueries and not by joins. For a subquery Postgres has only one
// possible plan, which is the right one even if the tables were empty when Postgres made
// the plan.
const read = `
select l.user_id, l.state, l.reason, l.way, l.linked_at, l.ticket, l.digest, l.back_reference, l.also,
       exists (select 1 from symbolon.findings f where f.project = $1 and f.identity_id = $2 and f.closed_at is null),
       cast(u.{id} as text), cast(u.{identity} as text), {denied u},
       (select o.identity_id from symbolon.links o where o.project = $1 and o.user_id = cast(u.{id} as text) and o.state = 'linked'),
       cast(c.{id} as text), cast(c.{identity} as text), {denied c},
       (select o.identity_id from symbolon.links o where o.project = $1 and o.user_id = $3 and o.state = 'linked'),
       (select r.user_id from symbolon.retired r where r.project = $1 and r.user_id = $3)
from (select 1 as one) as q
left join symbolon.links l on l.project = $1 and l.identity_id = $2
left join {users} u on u.{identity} = $4
left join {users} c on c.{id} = $5`

// readBond reads the link of an identity that has a user already: the entry ($1, $2), and
// the user whose row holds the identity ($3). It costs a third of the statement read. A
// condition on the state would let Postgres choose an index of the linked entries and read
// all of them.
const readBond = `
select l.user_id, l.state, l.way, l.linked_at, l.ticket, l.back_reference, (select cast(u.{id} as text) from {users} u where u.{identity} = $3), {denied bond}
from symbolon.links l where l.project = $1 and l.identity_id = $2`

// readUser reads the evidence about one more user.
const readUser = `
select cast(c.{id} as text), cast(c.{identity} as text), {denied c},
       (select o.identity_id from symbolon.links o where o.project = $1 and o.user_id = $2 and o.state = 'linked'),
       (select r.user_id from symbolon.retired r where r.project = $1 and r.user_id = $2)
from (select 1 as one) as q
left join {users} c on c.{id} = $3`

// countClaims counts the refused claims since $2 and the linked users. It counts at most 100
// users for each claim and 100 more, because the limit is one claim for 100 users (decide).
const countClaims = `
select (select count(*) from symbolon.events where project = $1 and kind = 'claim.refused' and at > $2),
       (select count(*) from (select 1 as one from symbolon.links where project = $1 and state = 'linked'
        limit 100 * (1 + (select count(*) from symbolon.events where project = $1 and kind = 'claim.refused' and at > $2))) as linked)`

// oneClaimAtATime makes the count exact on Postgres, because writers overlap there.
const oneClaimAtATime = `select pg_advisory_xact_lock(hashtext('symbolon claims'), hashtext($1))`

// lockEntry comes first in every transaction. It is a write, because on SQLite a transaction
// that began with a read cannot write after another connection has written.
const lockEntry = `
insert into symbolon.links (project, identity_id, state) values ($1, $2, 'new')
on conflict (project, identity_id) do update set project = excluded.project`

const saveEntry = `
update symbolon.links set user_id = $1, state = $2, reason = $3, way = $4, linked_at = $5, ticket = $6, digest = $7, back_reference = $8, also = $9
where project = $10 and identity_id = $11`

// saveLinked is saveEntry for a link, which is its user's primary one.
const saveLinked = `
update symbolon.links set user_id = $1, state = $2, reason = $3, way = $4, linked_at = $5, ticket = $6, digest = $7, back_reference = $8, also = null
where project = $9 and identity_id = $10`

// keepEntry is saveLinked for a link whose user's row this transaction has written. It changes
// nothing if the row does not hold the identity any more, because a trigger of the table has
// changed or deleted the row.
const keepEntry = saveLinked + ` and ` + rowHolds

// bindEntry is keepEntry for a new link whose user's row did not hold the identity before.
// It does not link an ID that was retired during the decision.
const bindEntry = keepEntry + ` and ` + notRetired

// bindEntryOrFail is bindEntry for the round trip of the commit, on Postgres. There nobody can
// look at the number of changed rows, so the statement fails if it must not bind: it sets the
// state to null, which the table refuses.
var bindEntryOrFail = bindEntryIf(rowHolds + ` and ` + notRetired)

func bindEntryIf(condition string) string {
	return `
update symbolon.links set user_id = $1, state = case when ` + condition + ` then $2 end,
    reason = $3, way = $4, linked_at = $5, ticket = $6, digest = $7, back_reference = $8, also = null
where project = $9 and identity_id = $10`
}

// Conditions for the parameters of saveLinked. The parameter $11 is the identity again, as a
// value of the users table's column.
const (
	rowHolds   = `exists (select 1 from {users} u where u.{identity} = $11 and cast(u.{id} as text) = $1)`
	notRetired = `not exists (select 1 from symbolon.retired r where r.project = $9 and r.user_id = $1)`
)

// moveAway puts the former identity of a moved user on hold, unless the application has
// deleted the user in the meantime.
const moveAway = `
insert into symbolon.links (project, identity_id, user_id, state, reason) values ($1, $2, $3, 'held', 'moved')
on conflict (project, identity_id) do update set state = 'held', reason = 'moved', also = null
where symbolon.links.state <> 'forgotten' or symbolon.links.user_id <> excluded.user_id`

// goneAway ends the entry of an identity whose user goes to another identity.
const goneAway = `
insert into symbolon.links (project, identity_id, user_id, state, way, linked_at) values ($1, $2, $3, 'gone', $4, $5)
on conflict (project, identity_id) do update set state = 'gone', reason = '', digest = '', address = ''
where symbolon.links.state <> 'forgotten' and symbolon.links.state <> 'erased'`

const insertEvent = `
insert into symbolon.events (project, at, kind, identity_id, user_id, before_id, way, finding, detail, run, adopted)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

const openFinding = `
insert into symbolon.findings (project, identity_id, kind, user_id, detail, opened_at) values ($1, $2, $3, $4, $5, $6)
on conflict do nothing`

// openFindingOf is openFinding for a caller that read the identity's entry some time ago. It
// opens only the finding identity_returned for a person who was erased meanwhile. While the
// erasure is still under way it opens nothing.
const openFindingOf = `
insert into symbolon.findings (project, identity_id, kind, user_id, detail, opened_at)
select $1, $2, $3, $4, $5, $6
where not exists (select 1 from symbolon.links l where l.project = $1 and l.identity_id = $2 and l.state = 'erased' and $3 <> 'identity_returned')
and not exists (select 1 from symbolon.erasures e where e.project = $1 and e.identity_id = $2 and e.done_at is null)
on conflict do nothing`

const closeFinding = `
update symbolon.findings set closed_at = $1 where project = $2 and identity_id = $3 and kind = $4 and closed_at is null`

const readFindings = `
select kind, user_id, detail, opened_at from symbolon.findings
where project = $1 and identity_id = $2 and closed_at is null order by id`

const retire = `
insert into symbolon.retired (project, user_id, retired_at) values ($1, $2, $3) on conflict do nothing`

// usedNumber reads the highest ID that a user ever had. It is for SQLite's integer keys,
// because without AUTOINCREMENT SQLite gives the ID of the last row again after that row was
// deleted. Retired IDs of every project are included, because projects may share the table.
const usedNumber = `
select max(cast(user_id as integer)) from (
    select user_id from symbolon.retired
    union all select user_id from symbolon.links where project = $1 and user_id is not null) as used`

// lockLinked is the first statement of Forget, because every writer that makes or ends a link
// locks the entry first.
const lockLinked = `
update symbolon.links set project = project where project = $1 and user_id in ($2, $3) and state = 'linked'`

// forgetEntry comes before forgottenEvent, which reads the entry, because forgetEntry waits
// for the lock of the entry.
const forgetEntry = `
update symbolon.links set state = 'forgotten', reason = '', address = '' where project = $1 and user_id in ($2, $3) and state = 'linked'`

// forgottenEvent finds the identity by itself, because Forget can only execute statements
// and not read. The ledger knows the user by one of two spellings ($3, $4). If it does not,
// the event has the caller's spelling ($5).
const forgottenEvent = `
insert into symbolon.events (project, at, kind, identity_id, user_id) values ($1, $2, 'user.forgotten',
    (select identity_id from symbolon.links where project = $1 and user_id in ($3, $4) and state = 'forgotten' order by linked_at desc limit 1),
    coalesce((select user_id from symbolon.links where project = $1 and user_id in ($3, $4) and state = 'forgotten' order by linked_at desc limit 1), $5))`

// findOwner finds the identity that has a user or had it last.
const findOwner = `
select identity_id from symbolon.links where project = $1 and user_id = $2
order by case when state = 'linked' then 0 when state = 'forgotten' then 1 when also = user_id then 3 else 2 end, linked_at desc limit 1`

const eventColumns = `select id, at, kind, identity_id, user_id, before_id, way, finding, detail, run, adopted from symbolon.events `

const eventsOfIdentity = eventColumns + `where project = $1 and identity_id = $2 order by id desc limit 100`

const eventsOfUser = eventColumns + `where project = $1 and user_id = $2 order by id desc limit 100`

const eventsOfFormerUser = eventColumns + `where project = $1 and before_id = $2 order by id desc limit 100`

const layoutVersion = `select version from symbolon.layout`

// Statements on the application's table.
const (
	setIdentity = `
update {users} set {identity} = $1 where {id} = $2 and ({identity} is null or lower(cast({identity} as text)) in ('', $3))`

	clearIdentity = `update {users} set {identity} = null where {id} = $1 and lower(cast({identity} as text)) = lower($2)`

	clearOtherRows = `update {users} set {identity} = null where {identity} = $1 and {id} <> $2`

	deleteRow = `delete from {users} where {id} = $1 and lower(cast({identity} as text)) = lower($2)`

	rowOfIdentity    = `select cast({id} as text), cast({identity} as text) from {users} where {identity} = $1`
	rowsOfIdentities = `select cast({id} as text), cast({identity} as text) from {users} where {identity} in `

	userOfIdentities = `select cast({id} as text) from {users} where {identity} in `
	identitiesIn     = `select cast({identity} as text) from {users} where {identity} in `

	rowOfID = `select cast({id} as text), cast({identity} as text) from {users} where {id} = $1`
)

// ticketPostgres and ticketSQLite are the only statement of the ledger that is not the same
// for both databases.
const (
	ticketPostgres = `select nextval('symbolon.tickets')`
	ticketSQLite   = `update symbolon.tickets set n = n + 1 returning n`
)

// statements fills in the names, and remembers each filled text.
type statements struct {
	ticket string
	names  *strings.Replacer

	mu     sync.RWMutex
	filled map[string]string
}

// maxFilled is the maximum number of remembered texts. An insert has a text for each set of
// columns with values, and these sets depend on the data of the people who sign up.
const maxFilled = 500

func (s *statements) assemble(dialect Dialect, u Users) {
	s.ticket, s.filled = ticketPostgres, map[string]string{}
	if dialect == SQLite {
		s.ticket = ticketSQLite
	}
	s.names = strings.NewReplacer("symbolon.", dialect.prefix(),
		"{users}", u.parts().String(), "{id}", quote(u.id()), "{identity}", quote(u.identity()),
		"{denied u}", u.denied(dialect, "u"), "{denied c}", u.denied(dialect, "c"), "{denied bond}", u.deniedBond(dialect))
}

// prefix precedes the names of Symbolon's own tables.
func (d Dialect) prefix() string {
	if d == SQLite {
		return "symbolon_"
	}
	return "symbolon."
}

func (s *statements) fill(text string) string {
	s.mu.RLock()
	full, ok := s.filled[text]
	s.mu.RUnlock()
	if ok {
		return full
	}
	full = s.names.Replace(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.filled) < maxFilled {
		s.filled[text] = full
	}
	return full
}

// insertRow returns the insert of a user with these columns. The statement returns the ID,
// and whether a user had the ID before: it is retired, or it is linked and its row is
// missing. anyProject is for IDs that the database may give again: an ID that was retired in
// any project counts, because projects may share the table. If they do not
// share it, the only effect is that an ID which nobody had is skipped.
func insertRow(u Users, columns []string, anyProject bool) string {
	key, project := "cast("+quote(u.parts().table)+".{id} as text)", "$"+strconv.Itoa(len(columns)+1)
	retiredIn := "symbolon_r.project = " + project + " and "
	if anyProject {
		retiredIn = ""
	}
	return insertInto(columns) + " returning " + key + `,
       (select count(*) from symbolon.retired symbolon_r where ` + retiredIn + `symbolon_r.user_id = ` + key + `) +
       (select count(*) from symbolon.links symbolon_l where symbolon_l.project = ` + project + ` and symbolon_l.user_id = ` + key + `
        and symbolon_l.state = 'linked') > 0`
}

// insertInto returns the insert of a row with these columns.
func insertInto(columns []string) string {
	if len(columns) == 0 {
		return "insert into {users} default values"
	}
	return "insert into {users} (" + quoteAll(columns) + ") values (" + places(len(columns)) + ")"
}

// updateRow returns the update of n columns of the row with the key $n+1, if the row still
// holds the identity $n+2.
func updateRow(columns []string) string {
	var b strings.Builder
	b.WriteString("update {users} set ")
	for i, c := range columns {
		b.WriteString(comma(i) + quote(c) + " = $" + strconv.Itoa(i+1))
	}
	n := len(columns)
	b.WriteString(" where {id} = $" + strconv.Itoa(n+1) + " and lower(cast({identity} as text)) = $" + strconv.Itoa(n+2))
	return b.String()
}

// quoteAll quotes the columns of a list.
func quoteAll(columns []string) string { return `"` + strings.Join(columns, `", "`) + `"` }

// places returns n parameters: $1, $2, $3.
func places(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(comma(i) + "$" + strconv.Itoa(i+1))
	}
	return b.String()
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ", "
}

// session runs the statements on the pool or inside a transaction.
//
// On SQLite the statements are prepared once per connection, because parsing a statement
// takes ten times as long as running it. The drivers for Postgres prepare by themselves. A
// transaction cannot prepare a statement for other connections, so a statement that is
// missing in a transaction is prepared before the next transaction begins.
type session struct {
	store *Store
	tx    *sql.Tx // nil: the pool
}

func (c session) queryRow(ctx context.Context, text string, args ...any) *sql.Row {
	return c.queryRowFull(ctx, c.store.sql.fill(text), args)
}

// queryRowFull is queryRow for a text whose names are filled in.
func (c session) queryRowFull(ctx context.Context, full string, args []any) *sql.Row {
	if stmt := c.prepared(ctx, full); stmt != nil { //nolint:sqlclosecheck // stays with the pool
		return stmt.QueryRowContext(ctx, args...)
	}
	if c.tx != nil {
		return c.tx.QueryRowContext(ctx, full, args...)
	}
	return c.store.DB.QueryRowContext(ctx, full, args...)
}

func (c session) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	full := c.store.sql.fill(text)
	if stmt := c.prepared(ctx, full); stmt != nil { //nolint:sqlclosecheck // stays with the pool
		return stmt.QueryContext(ctx, args...)
	}
	if c.tx != nil {
		return c.tx.QueryContext(ctx, full, args...)
	}
	return c.store.DB.QueryContext(ctx, full, args...)
}

// exec returns how many rows were affected.
func (c session) exec(ctx context.Context, text string, args ...any) (int64, error) {
	return c.execFull(ctx, c.store.sql.fill(text), args)
}

// execFull is exec for a text whose names are filled in.
func (c session) execFull(ctx context.Context, full string, args []any) (int64, error) {
	run := c.tx.ExecContext
	if stmt := c.prepared(ctx, full); stmt != nil {
		run = func(ctx context.Context, _ string, args ...any) (sql.Result, error) {
			return stmt.ExecContext(ctx, args...)
		}
	}
	res, err := run(ctx, full, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// do executes a statement, unless it was sent with the BEGIN.
func (c session) do(ctx context.Context, s *pipeline.Statement) (err error) {
	switch {
	case s.Sent:
	case s.Row != nil:
		err = c.queryRowFull(ctx, s.Text, s.Args).Scan(s.Row...)
	default:
		_, err = c.execFull(ctx, s.Text, s.Args)
	}
	return err
}

// statement returns a statement with the names filled in.
func (s *Store) statement(text string, args ...any) *pipeline.Statement {
	return &pipeline.Statement{Text: s.sql.fill(text), Args: args}
}

// change runs a statement that must change a row, as exec does. It returns errTaken if no
// row was changed.
func (c session) change(ctx context.Context, text string, args ...any) error {
	n, err := c.exec(ctx, text, args...)
	if err == nil && n == 0 {
		return errTaken
	}
	return err
}

func (c session) prepared(ctx context.Context, full string) *sql.Stmt {
	if c.store.Dialect != SQLite {
		return nil
	}
	p := &c.store.prepared
	stmt := p.find(full)
	switch {
	case stmt == nil && c.tx != nil:
		p.wish(full)
		return nil
	case stmt == nil:
		return p.prepare(ctx, c.store.DB, full)
	case c.tx != nil:
		return c.tx.StmtContext(ctx, stmt)
	}
	return stmt
}

// prepared are statements that stay with their connections. They are closed with
// the pool.
type prepared struct {
	mu    sync.Mutex
	stmts map[string]*sql.Stmt
	wants map[string]bool
}

// maxPrepared is the maximum number of prepared statements of a connection. The store has
// about thirty, and one more for each set of columns with which a row was inserted.
const maxPrepared = 100

func (p *prepared) find(full string) *sql.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stmts[full]
}

func (p *prepared) wish(full string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wants == nil {
		p.wants = map[string]bool{}
	}
	if len(p.stmts)+len(p.wants) < maxPrepared {
		p.wants[full] = true
	}
}

// fulfil prepares the statements that were missing in earlier transactions.
func (p *prepared) fulfil(ctx context.Context, db *sql.DB) {
	p.mu.Lock()
	wants := p.wants
	p.wants = nil
	p.mu.Unlock()
	for full := range wants {
		p.prepare(ctx, db, full)
	}
}

// prepare returns nil if it fails. The caller then runs the text, which tells why.
func (p *prepared) prepare(ctx context.Context, db *sql.DB, full string) *sql.Stmt {
	stmt, err := db.PrepareContext(ctx, full)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.stmts[full]; other != nil || len(p.stmts) >= maxPrepared {
		_ = stmt.Close() //nolint:sqlclosecheck // the statement that another goroutine prepared is used
		return other
	}
	if p.stmts == nil {
		p.stmts = map[string]*sql.Stmt{}
	}
	p.stmts[full] = stmt
	return stmt
}

// moment is a time as both databases store it, in UTC and to the microsecond. SQLite stores
// text, and Postgres timestamptz. The parameter is text for both.
type moment struct{ time.Time }

const momentForm = "2006-01-02T15:04:05.000000Z07:00"

func (m moment) Value() (driver.Value, error) {
	if m.IsZero() {
		return nil, nil
	}
	return m.UTC().Truncate(time.Microsecond).Format(momentForm), nil
}

// Scan reads what Value wrote, and nothing else.
func (m *moment) Scan(src any) (err error) {
	switch v := src.(type) {
	case nil:
		m.Time = time.Time{}
	case time.Time:
		m.Time = v.UTC().Truncate(time.Microsecond)
	case string:
		m.Time, err = time.Parse(momentForm, v)
	case []byte:
		m.Time, err = time.Parse(momentForm, string(v))
	default:
		err = fmt.Errorf("%T is not a time", src)
	}
	return err
}
