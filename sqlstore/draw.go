package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// If the database makes the keys, the reserve hook draws the key of a future user from the
// place from which the table's default takes it: a sequence, or an expression such as
// gen_random_uuid(). This is possible on Postgres only. SQLite makes an integer key when the
// row is written. Keys that triggers make cannot be drawn on any database.
//
// A drawn key that nobody uses leaves a gap, as a rolled-back insert does. Strangers can
// cause many gaps by failed sign-ups. Therefore no key is drawn from the second half of
// the possible keys, which stays for rows.

// maxDraws is how many keys are drawn at once.
const maxDraws = 4

// drawPause is how long an expression is not used after it returned a key of the second
// half, or the same key twice.
const drawPause = time.Minute

// Draw takes the key of a future user from the database. It returns "" if the keys of the
// table cannot be drawn, or if the first half of them is used up. The store makes a user with
// the key if a plan says that the key was reserved.
func (s *Store) Draw(ctx context.Context) (symbolon.UserID, error) {
	if err := s.setup(); err != nil {
		return "", err
	}
	if s.DrawDB == nil {
		return "", nil
	}
	release, _, err := turn(ctx, s.draws)
	if err != nil {
		return "", unavailable("draw a key", err)
	}
	defer release()
	key, err := s.draw(ctx)
	if err != nil {
		return "", unavailable("draw a key", err)
	}
	return key, nil
}

// Draws reports whether the keys of the table can be drawn before their rows exist. It reads
// the catalogue of the database.
func (s *Store) Draws(ctx context.Context) (bool, error) {
	if err := s.setup(); err != nil {
		return false, err
	}
	source, err := s.readKeySource(ctx, s.DB)
	if err != nil {
		return false, unavailable("read the default of the key", err)
	}
	return source.draws(), nil
}

func (s *Store) draw(ctx context.Context) (key symbolon.UserID, err error) {
	conn, err := s.DrawDB.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer func() {
		if s.Dialect.readOnly(err) {
			drop(conn)
		}
	}()
	source, err := s.keySource(ctx, conn)
	if err != nil || !source.draws() || time.Now().UnixNano() < s.drawAgain.Load() {
		return "", err
	}
	for range drawTries {
		key, param, err := s.drawOne(ctx, conn, source)
		if err != nil || key == "" {
			return "", err
		}
		var used bool
		if err := conn.QueryRowContext(ctx, s.sql.fill(keyIsUsed), param, string(key)).Scan(&used); err != nil {
			return "", err
		}
		if !used {
			return key, nil
		}
	}
	return "", nil
}

// drawTries is how many keys one call draws if users have them already. This happens if rows
// were inserted with keys of their own, and the sequence was not moved on.
const drawTries = 4

// keyIsUsed reports whether a row has the key ($1), or a user has or had it ($2). A used key
// is not reserved, because an identity must not carry the ID of another person's user. It
// would not get that user, but programs that read the ID would be wrong.
const keyIsUsed = `
select exists (select 1 from {users} u where u.{id} = $1)
    or exists (select 1 from symbolon.retired r where r.user_id = $2)
    or exists (select 1 from symbolon.links l where l.user_id = $2 and l.state = 'linked')
    or exists (select 1 from symbolon.links l where l.user_id = $2 and l.state in ('held', 'forgotten', 'gone', 'erased'))`

// drawOne draws a key, which may be used already. It returns "" if nothing was drawn, or if
// what was drawn cannot be a key.
func (s *Store) drawOne(ctx context.Context, conn *sql.Conn, source keySource) (key symbolon.UserID, param any, err error) {
	text, args := source.statement()
	var drawn sql.NullString
	if err := conn.QueryRowContext(ctx, text, args...).Scan(&drawn); err != nil {
		return "", nil, err
	}
	key, param, ok := (&shape{id: column{kind: source.kind}}).key(symbolon.UserID(drawn.String))
	if number, isNumber := param.(int64); isNumber && number > source.half || !drawn.Valid && source.expression != "" {
		s.drawAgain.Store(time.Now().Add(drawPause).UnixNano())
		return "", nil, nil
	}
	if !ok {
		return "", nil, nil
	}
	return key, param, nil
}

// keySource is the place from which the database takes the keys of new rows.
type keySource struct {
	kind       kind   // of the key
	expression string // makes a key without a sequence; empty: none
	sequence   int64  // the OID of the sequence that the key is taken from; 0: none
	half       int64  // the last key of the first half, of a key that is a number
	always     bool   // the key is "generated always", which an insert with a key has to override
}

// draws reports whether a key can be drawn from the source.
func (k keySource) draws() bool { return k.sequence != 0 || k.expression != "" }

// drawFromSequence takes the next value of a sequence ($1), unless the sequence is beyond
// the first half ($2).
const drawFromSequence = `
select cast(case when coalesce(pg_sequence_last_value(s.id) < $2, true) then nextval(s.id) end as text)
from (select cast(cast(cast($1 as bigint) as oid) as regclass) as id) as s`

func (k keySource) statement() (text string, args []any) {
	if k.sequence != 0 {
		return drawFromSequence, []any{k.sequence, k.half}
	}
	// The catalogue has the expression as the table's owner wrote it. The expression is
	// computed twice, and nothing is drawn if both keys are equal. An expression such as
	// max(id) + 1 gives the same key again, so two people would get it.
	return "select case when a <> b then a end from (select cast(" + k.expression + " as text) as a, cast(" + k.expression + " as text) as b) as twice", nil
}

// readSource reads the default of a table's key ($1, $2): the type of the key, the default,
// whether the key is "generated always", and the sequences from which the key is taken, each
// in a row of its own, with its bounds. A key that is generated from other columns has no
// row. Without the right to write the key, or to use the sequence, nothing can be reserved.
const readSource = `
select format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null),
       case when a.attidentity = '' then coalesce(pg_get_expr(d.adbin, d.adrelid), '') else '' end, a.attidentity = 'a',
       coalesce(cast(s.seqrelid as bigint), 0), coalesce(s.seqmin, 0), coalesce(s.seqmax, 0),
       has_column_privilege(a.attrelid, a.attnum, 'insert')
       and coalesce(s.seqincrement > 0 and not s.seqcycle and has_sequence_privilege(s.seqrelid, 'usage'), true)
from pg_attribute a
join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_sequence s on s.seqrelid in (
     select p.objid from pg_depend p where a.attidentity <> '' and p.classid = cast('pg_class' as regclass) and p.deptype = 'i'
     and p.refclassid = cast('pg_class' as regclass) and p.refobjid = a.attrelid and p.refobjsubid = a.attnum
     union all
     select p.refobjid from pg_depend p where p.classid = cast('pg_attrdef' as regclass) and p.objid = d.oid and p.refclassid = cast('pg_class' as regclass))
where a.attrelid = to_regclass(cast($1 as text)) and a.attname = $2 and not a.attisdropped and a.attgenerated = ''`

// plainNextval is the default of a serial key, as Postgres shows it.
var plainNextval = regexp.MustCompile(`^nextval\('[^']*'::regclass\)$`)

// keySource returns the source of the known shape, or reads the source.
func (s *Store) keySource(ctx context.Context, db querier) (keySource, error) {
	if s.shape.Load() == nil {
		return s.readKeySource(ctx, db)
	}
	s.refresh(ctx)
	return s.shape.Load().source, nil
}

// querier is a pool or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// readKeySource reads the source of the table's keys. The zero keySource cannot be drawn
// from.
func (s *Store) readKeySource(ctx context.Context, db querier) (keySource, error) {
	if s.Dialect != Postgres || s.NewID() != ByDatabase {
		return keySource{}, nil
	}
	u := s.users()
	all, err := collect(ctx, db.QueryContext, readSource, []any{u.parts().String(), u.id()}, scanKeySource)
	if err != nil || len(all) != 1 { // with several sequences the key is computed from them
		return keySource{}, err
	}
	return all[0], nil
}

func scanKeySource(row scanner) (k keySource, err error) {
	var declared string
	var low, top int64
	var may bool
	if err := row.Scan(&declared, &k.expression, &k.always, &k.sequence, &low, &top, &may); err != nil {
		return k, err
	}
	k.kind = kindOf(Postgres, declared)
	k.half = k.kind.top() / 2
	switch {
	case k.sequence != 0 && (k.expression == "" || plainNextval.MatchString(k.expression)) && k.kind.integer():
		k.expression, k.half = "", low/2+min(top, k.kind.top())/2
	case k.sequence != 0, strings.Contains(strings.ToLower(k.expression), "nextval"), !strings.Contains(k.expression, "("):
		may = false // computed from a sequence, or the same for every row
	}
	if !may {
		return keySource{kind: k.kind, always: k.always}, nil
	}
	return k, nil
}

// top is the largest number of the kind; 0 if it is no integer.
func (k kind) top() int64 {
	switch k {
	case int2:
		return math.MaxInt16
	case int4:
		return math.MaxInt32
	case int8:
		return math.MaxInt64
	}
	return 0
}

// unusableError says why a user cannot have the key that was reserved for it. The decision is
// then made again; see symbolon.Plan.Reserved.
type unusableError struct{ why string }

func (e unusableError) Error() string { return "the reserved ID cannot be used: " + e.why }

func isUnusable(err error) bool {
	_, is := errors.AsType[unusableError](err)
	return is
}

// insertReserved inserts a row with a reserved key. It inserts no row if a user has or had the
// key in any project, because projects may share the table. A key that the sequence has
// not given out yet is not used either, because the sequence would give it to another
// row; this happens after the database was restored from a backup.
func (w *writer) insertReserved(ctx context.Context, key any, cells []cell) (symbolon.UserID, error) {
	source := w.shape.source
	if !source.draws() {
		return "", unusableError{"the IDs of this table are not drawn in advance"}
	}
	columns, values := w.shape.newRow(key, w.q.Reading.Identity.ID, cells)
	var id symbolon.UserID
	var used, drawn bool
	err := w.db.queryRow(ctx, insertReservedRow(w.shape.users, columns, source), values...).Scan(&id, &used, &drawn)
	canonical, _, _ := w.shape.key(w.plan.User)
	switch {
	case err != nil && w.store.Dialect.setup(err):
		w.store.state.distrust()
		return "", unusableError{w.store.Dialect.describe(err)}
	case err != nil:
		return "", err
	case id != canonical:
		return "", unusableError{fmt.Sprintf("the table gave the row the ID %s", id)}
	case used:
		return "", unusableError{"it belonged to another person before"}
	case !drawn:
		return "", unusableError{"the sequence of the table has not reached it, or cannot be read; perhaps the database was restored from a backup"}
	}
	return id, nil
}

// insertReservedRow returns the insert of a row with a key. The statement returns the ID,
// whether a user has or had it, and whether the sequence has given it out.
func insertReservedRow(u Users, columns []string, k keySource) string {
	id := quote(u.parts().table) + ".{id}"
	key := "cast(" + id + " as text)"
	return k.insertInto(columns) + " returning " + key + ", " + usedInAnyProject(key) + ", " + k.drew(id)
}

// insertInto returns the insert of a row with these columns, of which one is the key.
func (k keySource) insertInto(columns []string) string {
	override := ""
	if k.always {
		override = " overriding system value"
	}
	return "insert into {users} (" + quoteAll(columns) + ")" + override + " values (" + places(len(columns)) + ")"
}

// usedInAnyProject is the condition that a user has or had a key.
func usedInAnyProject(key string) string {
	return `(exists (select 1 from symbolon.retired symbolon_r where symbolon_r.user_id = ` + key + `) or
       exists (select 1 from symbolon.links symbolon_l where symbolon_l.user_id = ` + key + ` and symbolon_l.state = 'linked') or
       exists (select 1 from symbolon.links symbolon_l where symbolon_l.user_id = ` + key + ` and symbolon_l.state in ('held', 'forgotten', 'gone', 'erased')))`
}

// drew is the condition that the sequence has given out an ID.
func (k keySource) drew(id string) string {
	if k.sequence == 0 {
		return "true"
	}
	seq := fmt.Sprintf("cast(cast(%d as oid) as regclass)", k.sequence)
	return "case when has_sequence_privilege(" + seq + ", 'usage, select') then coalesce(" + id + " <= pg_sequence_last_value(" + seq + "), false) else false end"
}

// bindReservedOrFail is bindEntryOrFail for a reserved key. It has the conditions of
// insertReserved. If it fails, insertReserved finds out which of them does not hold.
func bindReservedOrFail(k keySource) string {
	return bindEntryIf(rowHolds + ` and exists (select 1 from {users} u where u.{identity} = $11 and ` + k.drew("u.{id}") + `)
        and not ` + usedInAnyProject("$1"))
}
