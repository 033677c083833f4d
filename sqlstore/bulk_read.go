package sqlstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Who is known; a list of parameters follows, and $1 is the project.
const (
	knownEntries = `select identity_id from symbolon.links where project = $1 and identity_id in `
	knownRows    = `select cast({identity} as text) from {users} where {identity} in `
	knownBonds   = `select user_id from symbolon.links where project = $1 and state = 'linked' and user_id in `
	knownRetired = `select user_id from symbolon.retired where project = $1 and user_id in `
	knownUsers   = `select cast({id} as text) from {users} where {id} in `
)

// lists are the lengths of the lists; shorter ones repeat their last value.
var lists = []int{500, 20}

// strangers are the places of those of whom, and of whose claims, nothing is held.
func (b *bulk) strangers(ctx context.Context) (out []int, err error) {
	known := map[string]bool{}
	err = b.store.patiently(ctx, func(waiting context.Context) error {
		clear(known)
		return b.findKnown(waiting, known)
	})
	if err != nil {
		return nil, unavailable("look for many identities", err)
	}
	for at, q := range b.qs {
		if !known[string(q.Seen.Identity.ID)] && !b.namesKnown(q, known) {
			out = append(out, at)
		}
	}
	return out, nil
}

// userMark tells users from identities among what is known: their IDs may be the same.
const userMark = "user "

func (b *bulk) namesKnown(q symbolon.Query, known map[string]bool) bool {
	for _, claim := range q.Claims {
		if user, _, ok := b.shape.key(claim); ok && known[userMark+string(user)] {
			return true
		}
	}
	return false
}

func (b *bulk) findKnown(ctx context.Context, known map[string]bool) error {
	ids := make([]any, len(b.qs))
	var users, keys []any
	for at, q := range b.qs {
		ids[at] = string(q.Seen.Identity.ID)
		for _, claim := range q.Claims {
			if user, key, ok := b.shape.key(claim); ok {
				users, keys = append(users, string(user)), append(keys, key)
			}
		}
	}
	identity := func(s string) { known[string(asIdentity(s))] = true }
	user := func(s string) { known[userMark+s] = true }
	for _, ask := range []struct {
		text string
		list []any
		note func(string)
	}{
		{knownEntries, ids, identity}, {knownRows, ids, identity},
		{knownBonds, users, user}, {knownRetired, users, user}, {knownUsers, keys, user},
	} {
		if err := b.list(ctx, ask.text, ask.list, ask.note); err != nil {
			return err
		}
	}
	return nil
}

// list asks for those of a list that are there.
func (b *bulk) list(ctx context.Context, text string, list []any, note func(string)) error {
	var args []any
	if strings.Contains(text, "$1") {
		args = append(args, b.project)
	}
	for len(list) > 0 {
		size := lists[0]
		if len(list) <= lists[1] {
			size = lists[1]
		}
		some := append(make([]any, 0, size+1), args...)
		some = append(some, list[:min(size, len(list))]...)
		for len(some) < size+len(args) {
			some = append(some, list[len(list)-1])
		}
		list = list[min(size, len(list)):]
		if err := b.ask(ctx, text+parameters(len(args)+1, size), some, note); err != nil {
			return err
		}
	}
	return nil
}

func (b *bulk) ask(ctx context.Context, text string, args []any, note func(string)) error {
	rows, err := session{store: b.store}.query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return err
		}
		note(s)
	}
	return rows.Err()
}

// parameters is a list of n in parentheses, beginning with $from.
func parameters(from, n int) string {
	var b strings.Builder
	b.WriteString("(")
	for i := range n {
		b.WriteString(comma(i) + "$" + strconv.Itoa(from+i))
	}
	b.WriteString(")")
	return b.String()
}
