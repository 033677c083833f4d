package library

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// operation is something that may happen in a history. To add one, write a function that does
// it to the product and to the model ([truth]), and give it a line in operations.
type operation struct {
	name   string
	weight int

	// do returns false, and has done nothing, if there is nobody for it.
	do func(h *history) bool
}

var operations = []operation{
	{"a person signs up", 6, signUpNew},
	{"a person signs up with an address that the application knows", 1, signUpKnown},
	{"a person returns with the address of a deleted identity", 2, returns},
	{"the application makes a user", 3, seed},
	{"an administrator creates a guest", 3, guest},
	{"an administrator copies the metadata of another person", 1, copies},
	{"the application empties an identity column", 1, empties},
	{"the application fills an identity column", 1, fills},
	{"the application's table is made anew", 1, resets},
	{"Ory does not answer for a moment", 1, outageOfOry},
	{"a person sends a request", 8, request},
	{"a hook, the same hook and a request arrive together", 1, together},
	{"a late hook arrives", 2, arrives},
	{"a person changes the address", 3, changeAddress},
	{"an administrator changes an address", 2, patchAddress},
	{"people swap their addresses", 3, swap},
	{"a person changes the name", 1, rename},
	{"a person verifies the address", 1, verify},
	{"the application denies a user", 2, denies},
	{"the application lets a user in again", 2, allows},
	{"the application deletes a user and says so", 2, forgets},
	{"the application deletes a row", 2, deletes},
	{"Ory deletes an identity", 3, deletesIdentity},
	{"Ory bans a person", 2, bans},
	{"Ory lifts a ban", 2, unbans},
	{"the operator binds a person to a user", 3, binds},
	{"the operator orders a new user", 1, ordersNew},
	{"the operator erases a person", 2, erases},
	{"the operator erases a user", 1, erasesUser},
	{"all are compared", 3, compares},
	{"the old history is deleted", 1, compacts},
	{"the program restarts", 1, restarts},
}

// GoString is what a failure shows of a drawn operation.
func (o operation) GoString() string { return o.name }

// digit draws each number equally often. From a longer range rapid prefers the beginning.
var digit = rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 6, 7})

// weighted draws an operation.
var weighted = func() *rapid.Generator[operation] {
	var all []operation
	for _, op := range operations {
		for range op.weight {
			all = append(all, op)
		}
	}
	return rapid.Custom(func(t *rapid.T) operation {
		n := digit.Draw(t, "a")*64 + digit.Draw(t, "b")*8 + digit.Draw(t, "c")
		return all[n%len(all)]
	})
}()

// somebody draws a person, never the anchor. It returns nil if there is none.
func (h *history) somebody(is func(p *person) bool) *person {
	var some []*person
	for _, p := range h.truth.people[1:] {
		if is(p) {
			some = append(some, p)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return rapid.SampledFrom(some).Draw(h.T, "person")
}

// someUser draws a user whose ID is known, never the anchor's. It returns nil if there is none.
func (h *history) someUser(is func(u *appUser) bool) *appUser {
	var some []*appUser
	for _, u := range h.truth.users {
		if u != h.truth.people[0].user && u.id != "" && is(u) {
			some = append(some, u)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return rapid.SampledFrom(some).Draw(h.T, "user")
}

func (h *history) fate(of string) fate {
	return rapid.SampledFrom([]fate{deliver, deliver, deliver, lose, lose, twice, later}).Draw(h.T, of)
}

func atOry(p *person) bool { return p.atOry }

func signsIn(p *person) bool { return p.atOry && p.active }

func hasRow(u *appUser) bool { return u.row }

// withHook does something of which Ory tells the product by a hook.
func (h *history) withHook(route string, f fate, p *person, do func() error) {
	h.post.fates[route] = f
	late := len(h.post.late)
	h.must(do())
	h.look(p)
	for i := range h.post.late[late:] {
		h.post.late[late+i].of = p
	}
	if f == deliver || f == twice {
		h.truth.read(p)
	}
	h.note("hook %s %s", route, f)
}

func signUpNew(h *history) bool { return h.signUp(h.name("mail")+"@example.org", h.fate("link")) }

// signUpKnown is a person without a voucher, whose address is in a row of the application's.
func signUpKnown(h *history) bool {
	u := h.someUser(func(u *appUser) bool { return u.row && u.email != "" && !h.usesAddress(u.email) })
	return u != nil && h.signUp(u.email, h.fate("link"))
}

func returns(h *history) bool {
	p := h.somebody(func(p *person) bool { return !p.atOry && !h.usesAddress(p.email) })
	return p != nil && h.signUp(p.email, h.fate("link"))
}

func (h *history) usesAddress(email string) bool {
	return slices.ContainsFunc(h.truth.people, func(p *person) bool { return p.atOry && p.email == email })
}

func (h *history) signUp(email string, link fate) bool {
	p := &person{name: h.name("person"), email: email, atOry: true, active: true}
	reserve := rapid.SampledFrom([]fate{deliver, deliver, lose}).Draw(h.T, "reserve")
	h.post.fates["reserve"], h.post.fates["link"] = reserve, link
	late, name := len(h.post.late), h.name("name")
	at, err := h.ory.Register(h.ctx(), email, password, name)
	h.must(err)
	p.id, p.token = symbolon.IdentityID(at.IdentityID), at.Token
	h.note("%s is %s with %s; hook reserve %s, hook link %s", p.name, p.id[:8], email, reserve, link)
	for i := range h.post.late[late:] {
		h.post.late[late+i].of = p
	}
	h.joins(p, name)
	if reserve == deliver && p.reserved == "" && !h.truth.when && (h.store.NewID() == symbolon.ByMint || h.store.DrawDB != nil) {
		h.wrong("the reserve hook reserved no ID")
	}
	if link == deliver || link == twice {
		h.truth.read(p)
	}
	return true
}

// joins adds a new identity to the model.
func (h *history) joins(p *person, name string) {
	h.truth.people = append(h.truth.people, p)
	h.known(p.email, p, nil)
	h.known(name, p, nil)
	at, err := h.client.Identity(h.ctx(), p.id)
	h.must(err)
	var public struct{ ID any }
	if len(at.MetadataPublic) > 0 {
		d := json.NewDecoder(strings.NewReader(string(at.MetadataPublic)))
		d.UseNumber()
		h.must(d.Decode(&public))
	}
	if public.ID != nil {
		p.reserved = symbolon.UserID(fmt.Sprint(public.ID))
	}
}

// seed is a user whom the application itself has made.
func seed(h *history) bool {
	u := h.truth.newUser("the application")
	u.email = h.name("guest") + "@example.org"
	h.known(u.email, nil, u)
	if h.store.NewID() == symbolon.ByMint {
		u.id = h.linker.Mint()
		h.exec(`insert into `+h.table+` (id, email) values ($1, $2)`, string(u.id), u.email)
	} else {
		h.must(h.app.db.QueryRowContext(h.ctx(), `insert into `+h.table+` (email) values ($1) returning cast(id as text)`, u.email).Scan(&u.id))
	}
	h.note("user %s with %s", u.id, u.email)
	return true
}

// copies gives an identity what the metadata of another one says.
func copies(h *history) bool {
	from := h.somebody(func(p *person) bool { return p.atOry && p.reserved != "" })
	p := h.somebody(func(p *person) bool { return p.atOry && p.bond == unread && p != from })
	if p == nil || from == nil {
		return false
	}
	var of struct {
		MetadataPublic json.RawMessage `json:"metadata_public"`
	}
	text, _, err := h.ory.GetIdentity(h.ctx(), string(from.id))
	h.must(err)
	h.must(json.Unmarshal(text, &of))
	h.must(h.ory.PatchIdentity(h.ctx(), string(p.id), []map[string]any{{"op": "add", "path": "/metadata_public", "value": of.MetadataPublic}}))
	h.note("%s to %s", from.name, p.name)
	p.reserved = from.reserved
	return true
}

// empties makes ledger and row disagree.
func empties(h *history) bool {
	p := h.somebody((*person).hasRow)
	if p == nil || p.user.id == "" {
		return false
	}
	h.exec(`update `+h.table+` set ory_identity_id = null where id = $1`, string(p.user.id))
	p.user.freed = true
	h.note("user %s", p.user.id)
	return true
}

// fills does what a hand-written hook of the application does.
func fills(h *history) bool {
	p := h.somebody(func(p *person) bool { return p.atOry && p.bond == unread })
	u := h.someUser(func(u *appUser) bool { return u.row && u.owner == nil && !u.retired })
	if p == nil || u == nil || slices.ContainsFunc(h.truth.users, func(u *appUser) bool { return u.owner == p }) {
		return false
	}
	h.exec(`update `+h.table+` set ory_identity_id = $1 where id = $2`, string(p.id), string(u.id))
	u.owner = p
	h.note("of user %s with %s", u.id, p.name)
	return true
}

// resets deletes all rows. Nobody tells the product.
func resets(h *history) bool {
	h.exec(`delete from ` + h.table)
	for _, u := range h.truth.users {
		h.truth.forget(u, false)
	}
	return true
}

// outageOfOry changes nothing and denies nobody.
func outageOfOry(h *history) bool {
	p := h.somebody(func(p *person) bool { return p.token != "" })
	if p == nil {
		return false
	}
	repair := h.ory.Break(fakeory.DatabaseDown{})
	defer repair()
	got := answerTo(h.ctx(), h.auth, p)
	if !strings.HasPrefix(got, dontKnow) && (got != p.cached || got == "") {
		h.wrong("%s got %q", p.name, got)
	}
	h.note("%s: %s", p.name, got)
	return true
}

// guest is an identity with a voucher for a user. Ory calls no hook for it.
func guest(h *history) bool {
	u := h.someUser(func(u *appUser) bool { return u.row && u.owner == nil })
	if u == nil {
		return false
	}
	v, err := h.linker.Voucher(u.id)
	h.must(err)
	p := &person{name: h.name("person"), email: u.email, voucher: u, atOry: true, active: true}
	if p.email == "" || h.usesAddress(p.email) || rapid.Bool().Draw(h.T, "another address") {
		p.email = h.name("mail") + "@example.org"
	}
	name := h.name("name")
	id, err := h.ory.CreateIdentity(h.ctx(), map[string]any{"schema_id": "default", "traits": map[string]any{"email": p.email, "name": name},
		"metadata_admin": map[string]any{"symbolon": v}})
	h.must(err)
	p.id, p.token = symbolon.IdentityID(id), h.ory.PutSession(fakeory.Session{IdentityID: id}).Token
	h.note("%s is %s with %s and a voucher for user %s", p.name, p.id[:8], p.email, u.id)
	h.joins(p, name)
	return true
}

func request(h *history) bool {
	p := h.somebody(func(p *person) bool { return p.token != "" })
	if p == nil {
		return false
	}
	h.note("%s", p.name)
	h.request(h.auth, p)
	h.note("%s", p.cached)
	return true
}

// together is a race. Nobody gets two users in it.
func together(h *history) bool {
	p := h.somebody(signsIn)
	if p == nil {
		return false
	}
	h.note("%s", p.name)
	var calls sync.WaitGroup
	answers := make([]string, 2)
	for i := range answers {
		calls.Go(func() { h.handle(hint("sync", p)) })
		calls.Go(func() { answers[i] = answerTo(h.ctx(), h.auth, p) })
	}
	calls.Wait()
	before := p.cached
	h.truth.read(p)
	p.cached = ""
	for _, got := range answers {
		if got != before {
			h.sees(p, got)
			p.cached = got
		}
	}
	if p.cached == "" {
		p.cached = before
	}
	return true
}

// hint is a hook that names a person.
func hint(route string, p *person) letter {
	keys := hooks.DeriveKeys(secrets)
	key := map[string][]string{"link": keys.Link, "sync": keys.Sync}[route][0]
	return letter{route: route, of: p, body: []byte(`{"identity_id":"` + string(p.id) + `"}`),
		header: http.Header{hooks.KeyHeader: {key}, "Content-Type": {"application/json"}}}
}

// hear has a hook arrive.
func (h *history) hear(l letter) {
	h.handle(l)
	h.truth.read(l.of)
}

func arrives(h *history) bool {
	if len(h.post.late) == 0 {
		return false
	}
	i := rapid.IntRange(0, len(h.post.late)-1).Draw(h.T, "which")
	l := h.post.late[i]
	h.post.late = slices.Delete(h.post.late, i, i+1)
	h.note("%s of %s", l.route, l.of.name)
	h.hear(l)
	return true
}
