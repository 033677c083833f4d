package server

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/child"
)

// adoptees is the number of people who have a user and an identity before Symbolon knows them.
const adoptees = 6

// adopt adopts people who had a user before, while no server runs. The command is killed, also
// while its database is silent. It then continues, and a second time it changes nothing. The
// people are members afterwards.
func (b *battered) adopt() {
	t, p := b.t, b.w.server
	t.Helper()
	var bodies []map[string]any
	var users []string
	for n := range adoptees {
		user, email := newIdentity(), fmt.Sprintf("adopted%d@example.com", n)
		cmdtest.Exec(t, b.db, fmt.Sprintf(`insert into symbolon_users (id, email) values ('%s', '%s')`, user, email))
		users = append(users, user)
		bodies = append(bodies, map[string]any{"schema_id": "default", "traits": map[string]any{"email": email, "name": "Somebody"}, "metadata_public": map[string]any{"user": user},
			"credentials": map[string]any{"password": map[string]any{"config": map[string]any{"password": cmdtest.Password}}}})
	}
	ids, err := b.w.kratos.CreateIdentities(t.Context(), bodies)
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := p.command(append([]string{"adopt"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("adopt %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("--by", "metadata_public.user", "--plan", "plan.csv")
	for range 2 {
		killed, err := child.Start(p.command("adopt", "--apply", "plan.csv"), syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(200 * time.Millisecond))
		for _, relay := range b.toDB {
			relay.FallSilent()
		}
		time.Sleep(rand.N(50 * time.Millisecond))
		killed.Kill()
	}
	out := run("--apply", "plan.csv")
	before := b.ledger(t).bonds
	const complete = "0 refused, 0 failed"
	if again := run("--apply", "plan.csv"); !strings.Contains(out, complete) || !strings.Contains(again, complete) || len(before) != adoptees {
		t.Errorf("%d of %d people are linked\n%s%s", len(before), adoptees, out, again)
	}
	for n, id := range ids {
		if got := b.ledger(t).bonds[id]; got != (bonded{user: users[n], state: "linked"}) || got != before[id] {
			t.Errorf("identity %s, whose user is %s: %v, then %v", id, users[n], before[id], got)
		}
		person, err := b.w.kratos.Login(t.Context(), fmt.Sprintf("adopted%d@example.com", n), cmdtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		b.members, b.users[id] = append(b.members, &member{Person: person}), users[n]
	}
}
