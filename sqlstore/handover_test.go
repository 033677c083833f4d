package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// TestRowOfAnother gives somebody's row to another person, whose address the application's own
// row has. The table refuses the address, and a finding says so. The row does not keep the
// address of the person who had it before, whether the operator took the row from that person,
// the person had left it, or the other person had had it once.
func TestRowOfAnother(t *testing.T) {
	onEachColumn(t, kindsOfColumn[:3], func(t *testing.T, k kindOfColumn, p *people) {
		for _, how := range []string{"taken", "left behind", "bound back"} {
			w := p.settle(t, p.store(p.DB), "a b d")
			p.must(t, p.sql(`insert into {users} (id, email) values ($1, $2)`), newUUID(), "c@"+w.ory.domain)
			bind := func(who int, user symbolon.UserID) {
				t.Helper()
				if _, err := w.linker.Bind(t.Context(), w.ids[who], user, symbolon.BindOptions{Move: true}); err != nil {
					t.Fatal(err)
				}
			}
			to := 1
			switch how {
			case "left behind":
				bind(0, w.users[2])
			case "bound back":
				w.change("a e d")
				bind(1, w.users[0])
				to = 0
			}
			w.change(map[int]string{0: "c e d", 1: "a c d"}[to])
			bind(to, w.users[0])
			want := ""
			if !k.nullable() {
				want = "gone-" + string(w.users[0])
			}
			if k.placeholder != "" {
				want = strings.ReplaceAll(k.placeholder, "{user}", string(w.users[0]))
			}
			if got := p.email(t, w.users[0]); got != want {
				t.Errorf("%s: the row has %q, want %q", how, got, want)
			}
			rec, err := w.linker.Record(t.Context(), string(w.ids[to]))
			if err != nil || len(rec.Findings) != 1 || rec.Findings[0].Kind != symbolon.DuplicateEmail {
				t.Errorf("%s: %+v, %v", how, rec.Findings, err)
			}
			w.pass()
			if got := p.email(t, w.users[0]); got != want {
				t.Errorf("%s: after a comparison the row has %q, want %q", how, got, want)
			}
		}
	})
}

// TestRowOfTheApplication binds a person to a row that the application itself has filled. If
// the table refuses the person's address, the row keeps the application's value, because
// nobody else ever had the row.
func TestRowOfTheApplication(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := kindsOfColumn[0].create(t, db)
		w := p.settle(t, p.store(p.DB), "a")
		own := symbolon.UserID(newUUID())
		p.must(t, p.sql(`insert into {users} (id, email) values ($1, $2)`), string(own), "own@"+w.ory.domain)
		p.must(t, p.sql(`insert into {users} (id, email) values ($1, $2)`), newUUID(), "c@"+w.ory.domain)
		w.change("c")
		if _, err := w.linker.Bind(t.Context(), w.ids[0], own, symbolon.BindOptions{Move: true}); err != nil {
			t.Fatal(err)
		}
		if got := p.email(t, own); got != "own@"+w.ory.domain {
			t.Errorf("the row has %q", got)
		}
	})
}
