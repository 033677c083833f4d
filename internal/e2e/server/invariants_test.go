package server

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

// The invariants of a battered crowd at the end. Those about single answers are checked
// during the load: nobody is let in as somebody else, nobody who was erased is let in, and
// nobody who lives is told no.

// checkTables counts rows that must not exist.
func (b *battered) checkTables() {
	b.t.Helper()
	for what, query := range map[string]string{
		"users with two identities":          `select count(*) from (select user_id from symbolon.links where state = 'linked' group by user_id having count(*) > 1) as twice`,
		"identities with two rows":           `select count(*) from (select ory_identity_id from symbolon_users where ory_identity_id is not null group by ory_identity_id having count(*) > 1) as twice`,
		"retired IDs that are in use":        `select count(*) from symbolon.retired r join symbolon.links l on l.user_id = r.user_id where l.state = 'linked'`,
		"rows whose user has no entry":       `select count(*) from symbolon_users u where not exists (select 1 from symbolon.links l where l.user_id = cast(u.id as text))`,
		"entries of another project":         `select count(*) from symbolon.links where project <> 'default'`,
		"links by an e-mail address":         `select count(*) from symbolon.links where way like '%email%'`,
		"active rows of people who are gone": `select count(*) from symbolon_users u join symbolon.links l on l.user_id = cast(u.id as text) where l.state = 'forgotten' and u.ory_identity_id is not null`,
		"linked entries without their row":   `select count(*) from symbolon.links l where l.state = 'linked' and not exists (select 1 from symbolon_users u where cast(u.id as text) = l.user_id and cast(u.ory_identity_id as text) = l.identity_id)`,
	} {
		var n int
		if err := b.db.QueryRowContext(b.t.Context(), b.table(query)).Scan(&n); err != nil || n != 0 {
			b.t.Errorf("%s: %d (%v)", what, n, err)
		}
	}
	canonical := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	for id := range b.ledger(b.t).bonds {
		if !canonical.MatchString(id) {
			b.t.Errorf("the key %q", id)
		}
	}
}

// checkEnded checks that a link has ended only if the identity was deleted at Ory or if somebody
// asked for the erasure, although Ory listed too few identities at times. Everybody else is
// active.
func (b *battered) checkEnded() {
	b.t.Helper()
	active := map[string]string{}
	for _, row := range b.rows(`select cast(id as text), case when active then 'active' else 'inactive' end from symbolon_users`) {
		active[row[0]] = row[1]
	}
	bonds := b.ledger(b.t).bonds
	for _, m := range b.members {
		switch bond := bonds[m.IdentityID]; {
		case m.lives && (bond.state != "linked" || active[bond.user] != "active"):
			b.t.Errorf("identity %s lives; its link is %s, and its row is %s", m.IdentityID, bond.state, active[bond.user])
		case bond.state == "gone" && !m.deleted && !m.asked, bond.state == "erased" && !m.asked:
			b.t.Errorf("identity %s was not deleted, and its link is %s", m.IdentityID, bond.state)
		}
	}
}

// checkReserved checks that the IDs of sign-ups that failed belong to nobody, and that nothing
// of them is stored.
func (b *battered) checkReserved() {
	b.t.Helper()
	if len(b.reserved) == 0 {
		b.t.Error("no ID was reserved")
	}
	stored := map[string]bool{}
	for _, row := range b.rows(`select cast(id as text) from symbolon_users union all select user_id from symbolon.links where user_id is not null union all select user_id from symbolon.retired`) {
		stored[row[0]] = true
	}
	for _, id := range b.reserved {
		if stored[id] {
			b.t.Errorf("the ID %s was reserved for a sign-up that failed, and is stored", id)
		}
	}
	b.t.Logf("%d IDs were reserved for sign-ups that failed", len(b.reserved))
}

// checkMessages checks everything that the servers have sent to Ory, and the headers that they
// have sent to proxies.
func (b *battered) checkMessages() {
	b.t.Helper()
	asked := map[string]bool{}
	for _, m := range b.members {
		asked[m.IdentityID] = m.asked
	}
	b.taps.mu.Lock()
	defer b.taps.mu.Unlock()
	for _, wrong := range slices.Compact(slices.Concat(b.taps.outgoing.wrong, b.wrong)) {
		b.t.Error(wrong)
	}
	if b.taps.outgoing.written == 0 {
		b.t.Error("no back-reference was written")
	}
	for id := range b.taps.outgoing.deleted {
		if !asked[id] {
			b.t.Errorf("a server has deleted identity %s, and nobody asked for it", id)
		}
	}
	b.t.Logf("the servers have written %d back-references and deleted %d identities", b.taps.outgoing.written, len(b.taps.outgoing.deleted))
}

// table replaces the names of Symbolon's tables by those of the database.
func (b *battered) table(query string) string {
	if b.path != "" {
		return strings.ReplaceAll(query, "symbolon.", "symbolon_")
	}
	return query
}

// rows returns the rows of a query as text.
func (b *battered) rows(query string) (out [][]string) {
	b.t.Helper()
	rows, err := b.db.QueryContext(b.t.Context(), b.table(query))
	if err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	columns, _ := rows.Columns()
	for rows.Next() {
		values, into := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			b.t.Fatalf("%s: %v", query, err)
		}
		out = append(out, values)
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// checkHistory rebuilds each entry of the ledger from its events.
func (b *battered) checkHistory() {
	b.t.Helper()
	type entry struct{ user, state string }
	rebuilt := map[string]entry{}
	for _, row := range b.rows(`select kind, identity_id, coalesce(user_id, ''), coalesce(before_id, '') from symbolon.events where identity_id is not null order by id`) {
		kind, id, user, before := symbolon.EventKind(row[0]), row[1], row[2], row[3]
		e := rebuilt[id]
		switch kind {
		case symbolon.UserLinked, symbolon.UserRecreated:
			e = entry{user, "linked"}
		case symbolon.LinkHeld:
			e.state = "held"
		case symbolon.LinkMoved:
			if e.state = "held"; e.user == "" {
				e.user = before
			}
		case symbolon.UserForgotten:
			e.state = "forgotten"
		case symbolon.IdentityGone:
			e.state = "gone"
		case symbolon.UserErased:
			e.state = "erased"
		}
		rebuilt[id] = e
	}
	for _, row := range b.rows(`select identity_id, coalesce(user_id, ''), state from symbolon.links where state <> 'new'`) {
		if got, want := rebuilt[row[0]], (entry{row[1], row[2]}); got != want {
			b.t.Errorf("identity %s: its events say %v, the ledger says %v", row[0], got, want)
		}
	}
}

// checkLogs checks that no secret is in a log.
func (b *battered) checkLogs() {
	b.t.Helper()
	secrets := []string{cmdtest.Secret, cmdtest.Password}
	for _, m := range b.members {
		secrets = append(secrets, m.Token)
	}
	for _, p := range b.servers {
		log := p.log()
		for _, secret := range secrets {
			if secret != "" && strings.Contains(log, secret) {
				b.t.Errorf("a log has the secret %.8s…", secret)
			}
		}
		for _, bad := range []string{`"msg":"panic`, "DATA RACE", "fatal error"} {
			if strings.Contains(log, bad) {
				b.t.Errorf("a server logged: %s", bad)
			}
		}
	}
}

// checkQuiet checks that reconcile runs write nothing any more. Jobs may still write at
// first.
func (b *battered) checkQuiet() {
	b.t.Helper()
	tables := func() (all []string) {
		for _, query := range []string{`select identity_id, coalesce(user_id, ''), state, reason, digest, back_reference from symbolon.links order by 1`,
			`select cast(id as text), coalesce(cast(ory_identity_id as text), ''), coalesce(email, ''), cast(active as text), cast(updated_at as text) from symbolon_users order by 1`,
			`select cast(max(id) as text), cast(count(*) as text) from symbolon.events`, `select cast(count(*) as text) from symbolon.findings`} {
			for _, row := range b.rows(query) {
				all = append(all, strings.Join(row, " "))
			}
		}
		return all
	}
	before := tables()
	for end := time.Now().Add(2 * time.Minute); ; {
		runs := b.runs()
		cmdtest.Eventually(b.t, "two more runs are done", func() bool { return b.runs() >= runs+2 })
		after := tables()
		if slices.Equal(before, after) {
			return
		}
		if time.Now().After(end) {
			changed := slices.DeleteFunc(after, func(row string) bool { return slices.Contains(before, row) })
			b.t.Fatalf("runs without anything to do still change the tables:\n%s", strings.Join(changed, "\n"))
		}
		before = after
	}
}

// runs counts the reconcile runs that the servers have done.
func (b *battered) runs() (n int) {
	for _, p := range b.servers {
		n += b.metric(p, `symbolon_reconcile_runs_total{result="done"}`)
	}
	return n
}

// metric returns the value of a server's metric, or 0.
func (b *battered) metric(p *process, name string) int { return int(b.metrics(p)[name]) }

// cutLast cuts a line at its last blank.
func cutLast(line string) (before, after string, found bool) {
	at := strings.LastIndexByte(line, ' ')
	if at < 0 {
		return "", "", false
	}
	return line[:at], line[at+1:], true
}

// metrics returns all series of a server.
func (b *battered) metrics(p *process) map[string]float64 {
	b.t.Helper()
	all := map[string]float64{}
	_, _, text := p.get(b.t, p.operatorURL+"/metrics")
	for line := range strings.Lines(string(text)) {
		name, value, found := cutLast(strings.TrimSpace(line))
		if !found || strings.HasPrefix(name, "#") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			b.t.Error(err)
		}
		all[name] = n
	}
	return all
}
