package server

import (
	"cmp"
	"testing"
	"time"
)

// bonded is an entry of the ledger.
type bonded struct{ user, state, erasure string }

// ledger is the content of the database.
type ledger struct {
	bonds    map[string]bonded // by identity
	erasures map[string]bool   // erasure ID to whether it is done
	rows     map[string]string // user to the identity in its row
	run      string            // the unfinished run, and the time of its last record
}

// ledger reads the database. No server needs to run. After a kill the test is the first
// process that opens the database.
func (c *crowd) ledger(t *testing.T) ledger {
	t.Helper()
	db, dialect := openWorld(t, cmp.Or(c.direct, c.w.database))
	defer func() { _ = db.Close() }()
	prefix := map[string]string{"sqlite": "symbolon_", "postgres": "symbolon."}[dialect]
	l := ledger{bonds: map[string]bonded{}, erasures: map[string]bool{}, rows: map[string]string{}}
	read := func(query string, each func(a, b, c string)) {
		t.Helper()
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var x, y, z string
			if err := rows.Scan(&x, &y, &z); err != nil {
				t.Fatal(err)
			}
			each(x, y, z)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	read(`select cast(identity_id as text), coalesce(cast(user_id as text), ''), state from `+prefix+`links where state <> 'new'`, func(id, user, state string) { l.bonds[id] = bonded{user: user, state: state} })
	read(`select cast(id as text), coalesce(cast(identity_id as text), ''), case when done_at is null then '' else 'done' end from `+prefix+`erasures`, func(id, identity, done string) {
		b := l.bonds[identity]
		b.erasure = id
		l.bonds[identity], l.erasures[id] = b, done != ""
	})
	read(`select cast(id as text), coalesce(cast(ory_identity_id as text), ''), '' from symbolon_users`, func(id, identity, _ string) { l.rows[id] = identity })
	read(`select id, cast(updated_at as text), '' from `+prefix+`runs where state = 'running'`, func(id, at, _ string) { l.run = id + at })
	return l
}

// age makes every link an hour older. A run ignores links of the last minute, and the
// test does not wait for this minute.
func (c *crowd) age(t *testing.T) {
	t.Helper()
	db, dialect := openWorld(t, cmp.Or(c.direct, c.w.database))
	defer func() { _ = db.Close() }()
	table := map[string]string{"sqlite": "symbolon_links", "postgres": "symbolon.links"}[dialect]
	then := time.Now().UTC().Add(-time.Hour).Format("2006-01-02T15:04:05.000000Z")
	if _, err := db.ExecContext(t.Context(), `update `+table+` set linked_at = '`+then+`' where state = 'linked'`); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		m.aged = m.aged || c.users[m.IdentityID] != ""
	}
}
