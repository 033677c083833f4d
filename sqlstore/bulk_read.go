package sqlstore

import (
	"context"
	"slices"

	"github.com/symbolon-id/symbolon"
)

// The queries for known identities and users. The entries are read by a subquery, for the
// same reason as in the SQL constant read (statements.go). With a condition `in` Postgres
// would read all entries of the project as long as it has no statistics.
var (
	knownEntries = list{head: `with v as (values `, tail: `) select found.id from (select
       (select l.identity_id from symbolon.links l where l.identity_id = v.column1 and l.project = `, end: `) as id from v) as found
where found.id is not null`, rows: true}

	knownRows    = list{head: identitiesIn}
	knownBonds   = list{head: `select user_id from symbolon.links where user_id in `, tail: ` and state = 'linked' and project = `}
	knownRetired = list{head: `select user_id from symbolon.retired where user_id in `, tail: ` and project = `}
	knownUsers   = list{head: `select cast({id} as text) from {users} where {id} in `}
)

// list is a query that consists of head, a list of values, tail, the project and end.
type list struct {
	head, tail, end string
	rows            bool // each value is a separate row
}

// lengths are the possible lengths of a list. A shorter list repeats its first value.
var lengths = []int{500, 20}

// strangers returns the indexes in b.qs of the unknown identities that claim no known user. It
// leaves out an identity whose ID a row holds in another spelling, because Write refuses it.
func (b *bulk) strangers(ctx context.Context) (out []int, err error) {
	known, err := retryRead(ctx, b.store, "look for many identities", b.findKnown)
	if err != nil {
		return nil, err
	}
	for at, q := range b.qs {
		if !known[string(q.Reading.Identity.ID)] && !b.namesKnown(q, known) {
			out = append(out, at)
		}
	}
	misspelt, err := b.misspelt(ctx, out)
	return slices.DeleteFunc(out, func(at int) bool { return misspelt[at] }), err
}

// userMark distinguishes the known users from the known identities, whose IDs may be the
// same.
const userMark = "user "

func (b *bulk) namesKnown(q symbolon.Query, known map[string]bool) bool {
	for _, claim := range q.Claims {
		if user, _, ok := b.shape.key(claim); ok && known[userMark+string(user)] {
			return true
		}
	}
	return false
}

// findKnown returns the identities and the claimed users that are known. Users have the
// userMark.
func (b *bulk) findKnown(ctx context.Context) (map[string]bool, error) {
	known := map[string]bool{}
	ids := make([]any, len(b.qs))
	var users, keys []any
	for at, q := range b.qs {
		ids[at] = string(q.Reading.Identity.ID)
		for _, claim := range q.Claims {
			if user, key, ok := b.shape.key(claim); ok {
				users, keys = append(users, string(user)), append(keys, key)
			}
		}
	}
	identity := func(s string) { known[string(asIdentity(s))] = true }
	user := func(s string) { known[userMark+s] = true }
	for _, ask := range []struct {
		list
		values []any
		note   func(string)
	}{
		{knownEntries, ids, identity}, {knownRows, ids, identity},
		{knownBonds, users, user}, {knownRetired, users, user}, {knownUsers, keys, user},
	} {
		for some := range slices.Chunk(ask.values, lengths[0]) {
			if err := b.ask(ctx, ask.list, some, ask.note); err != nil {
				return nil, err
			}
		}
	}
	return known, nil
}

func (b *bulk) ask(ctx context.Context, l list, values []any, note func(string)) error {
	size := lengths[0]
	if len(values) <= lengths[1] {
		size = lengths[1]
	}
	padded := slices.Grow(slices.Clone(values), size)
	for len(padded) < size {
		padded = append(padded, values[0])
	}
	m := b.store.many(l.head, size, 1)
	if l.rows {
		for i, v := range padded {
			m.row(i, v)
		}
	} else {
		m.row(0, padded...)
	}
	if l.tail != "" {
		m.WriteString(l.tail)
		m.param(b.project)
		m.WriteString(l.end)
	}
	known, err := collect(ctx, session{store: b.store}.query, m.String(), m.args, scanOne[string])
	for _, value := range known {
		note(value)
	}
	return err
}
