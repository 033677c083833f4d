package library

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// settle compares everybody until nothing changes any more.
func (h *history) settle() {
	h.story = append(h.story, "the end")
	before := ""
	for range 4 {
		h.pass(false)
		after := fmt.Sprint(h.rows())
		if after == before {
			return
		}
		before = after
	}
	h.wrong("the rows still change after four comparisons")
}

// memberRow is a row of the application's table.
type memberRow struct {
	id                             symbolon.UserID
	identity                       symbolon.IdentityID
	email, name, verified          string
	active, deletedAt, isSuspended bool
}

func (h *history) rows() map[symbolon.UserID]memberRow {
	out := map[symbolon.UserID]memberRow{}
	rows, err := h.app.db.QueryContext(h.ctx(), `select cast(id as text), coalesce(cast(ory_identity_id as text), ''), coalesce(email, ''), coalesce(name, ''),
		coalesce(verified, ''), active, deleted_at is not null, suspended from `+h.table)
	h.must(err)
	defer rows.Close()
	for rows.Next() {
		var r memberRow
		h.must(rows.Scan(&r.id, &r.identity, &r.email, &r.name, &r.verified, &r.active, &r.deletedAt, &r.isSuspended))
		out[r.id] = r
	}
	h.must(rows.Err())
	return out
}

// compare compares everything with the model.
func (h *history) compare() {
	fresh := &session.Verifier{Linker: h.linker, Log: h.linker.Log} // as after a restart
	defer fresh.Close()
	for _, p := range h.truth.people {
		h.request(fresh, p)
	}
	h.settle() // a request may have made a user
	rows := h.rows()
	h.pin()
	h.compareRows(rows)
	for _, p := range h.truth.people {
		h.comparePerson(p, rows)
	}
	h.compareErased()
}

// compareRows checks that the rows are those of the model, each with its identity.
func (h *history) compareRows(rows map[symbolon.UserID]memberRow) {
	n := 0
	for _, u := range h.truth.users {
		if !u.row {
			if _, there := rows[u.id]; there {
				h.wrong("user %s (%s) has a row, and the model says that it has none", u.id, u.why)
			}
			continue
		}
		n++
		row, there := rows[u.id]
		want := symbolon.IdentityID("")
		if u.owner != nil && !u.freed {
			want = u.owner.id
		}
		switch {
		case !there:
			h.wrong("user %s (%s) has no row, and the model says that it has one", u.id, u.why)
		case row.identity != want:
			h.wrong("the row of user %s (%s) holds identity %q, and the model says %q", u.id, u.why, row.identity, want)
		case u.emptied && (row.email != "" || row.name != "" || row.verified != "" || row.active):
			h.wrong("the row of user %s (%s) is anonymised, and has %+v", u.id, u.why, row)
		case u.last == nil && !u.emptied && row.email != u.email:
			h.wrong("nobody ever had user %s, and its row has %+v", u.id, row)
		case u.owner != nil && u.owner.bond == gone && (row.email != "" || row.active && h.truth.gone == symbolon.DeactivateRow):
			h.wrong("the identity of user %s (%s) is gone, and its row has %+v", u.id, u.why, row)
		}
	}
	if len(rows) != n {
		h.wrong("%d rows, and the model says %d: %v", len(rows), n, slices.Collect(maps.Keys(rows)))
	}
}

// comparePerson checks a person's bond, values and findings.
func (h *history) comparePerson(p *person, rows map[symbolon.UserID]memberRow) {
	rec, err := h.linker.Record(h.ctx(), string(p.id))
	if p.bond == unread { // perhaps it is not eligible
		if err == nil && rec.Link != nil {
			h.wrong("%s was never read, and has the entry %+v", p.name, rec.Link)
		}
		return
	}
	h.must(err)
	if rec.Link == nil {
		h.wrong("%s has no entry, and the model says %s", p.name, p.bond)
	}
	state, reason := map[bond][2]string{linked: {"linked", ""}, forgotten: {"forgotten", ""}, gone: {"gone", ""}, erased: {"erased", ""},
		moved: {"held", "moved"}, recreated: {"held", "recreated_identity"}}[p.bond][0], ""
	if p.bond == moved || p.bond == recreated {
		reason = map[bond]string{moved: "moved", recreated: "recreated_identity"}[p.bond]
	}
	if string(rec.Link.State) != state || string(rec.Link.Reason) != reason {
		h.wrong("%s is %s %s, and the model says %s", p.name, rec.Link.State, rec.Link.Reason, p.bond)
	}
	if p.bond == linked && rec.Link.User != p.user.id {
		h.wrong("%s is linked to user %s, and the model says %s (%s)", p.name, rec.Link.User, p.user.id, p.user.why)
	}
	var open []string
	for _, f := range rec.Findings {
		open = append(open, string(f.Kind))
	}
	if p.hasRow() && p.atOry {
		h.compareValues(p, rows, open)
	}
	h.compareFindings(p, open)
}

// compareValues checks that the row has Ory's values. A value may be missing only if a row
// has it that nobody can take it from, and a finding says so.
func (h *history) compareValues(p *person, rows map[symbolon.UserID]memberRow, open []string) {
	at, err := h.client.Identity(h.ctx(), p.id)
	h.must(err)
	var traits struct{ Email, Name string }
	h.must(json.Unmarshal(at.Traits, &traits))
	want := rows[p.user.id]
	got := want
	want.email, want.name, want.verified, want.active = traits.Email, traits.Name, "", at.State == symbolon.Active
	for _, a := range at.Addresses {
		if a.Verified {
			want.verified = a.Value
		}
	}
	duplicate := slices.Contains(open, string(symbolon.DuplicateEmail))
	if holder := h.holder(rows, p, traits.Email); holder != "" && duplicate {
		want.email = got.email
		if !h.isOf(p, got.email) {
			h.wrong("the row of %s has %s, which never was the address of this person or user", p.name, got.email)
		}
	} else if duplicate {
		h.wrong("%s has the finding duplicate_email, and no row that keeps its value has %s", p.name, traits.Email)
	}
	if got != want {
		h.wrong("%s: the row is %+v, Ory says %+v, and there are the findings %v", p.name, got, want, open)
	}
}

// isOf reports whether a person or the person's user ever had an address, or there is none.
func (h *history) isOf(p *person, email string) bool {
	return email == "" || slices.ContainsFunc(h.words, func(w *word) bool {
		return w.text == email && (slices.Contains(w.people, p) || slices.Contains(w.users, p.user))
	})
}

// holder is another user with the address, from whom nobody may take it: its row has no
// identity, or an identity that Ory no longer has.
func (h *history) holder(rows map[symbolon.UserID]memberRow, p *person, email string) symbolon.UserID {
	for _, u := range h.truth.users {
		if u != p.user && u.row && rows[u.id].email == email && (u.owner == nil || u.freed || !u.owner.atOry) {
			return u.id
		}
	}
	return ""
}

// compareFindings checks the findings about bonds. Findings about claims may stay open.
func (h *history) compareFindings(p *person, open []string) {
	want := map[bond]string{moved: "moved", recreated: "recreated_identity"}[p.bond]
	if p.bond == linked && !p.user.row {
		want = "user_gone"
	} else if p.bond == linked && p.user.freed {
		want = "column_disagrees"
	}
	for _, kind := range open {
		switch symbolon.FindingKind(kind) {
		case symbolon.VoucherVoid, symbolon.ClaimedByOther, symbolon.ForeignBackReference:
			if p.voucher != nil || p.reserved != "" {
				continue
			}
		case symbolon.DuplicateEmail:
			if p.bond == linked {
				continue // compareValues has judged it, or the row is missing and may come back
			}
		}
		if kind != want && (p.atOry || p.bond != linked) {
			h.wrong("%s (%s) has the finding %s, and the model says %q", p.name, p.bond, kind, want)
		}
	}
	if want != "" && p.atOry && !slices.Contains(open, want) {
		h.wrong("%s (%s) has the findings %v, and the model says %s", p.name, p.bond, open, want)
	}
}

// compareErased looks for what is known of erased people in every table.
func (h *history) compareErased() {
	var words []string
	for _, w := range h.words {
		if w.mustBeGone() {
			words = append(words, w.text)
		}
	}
	if len(words) == 0 {
		return
	}
	if places := symbolontest.FindText(h.app.db.t, h.app.db.DB, string(h.app.db.dialect), words...); len(places) > 0 {
		h.wrong("of the words %v of erased people there is still\n%s", words, strings.Join(places, "\n"))
	}
}
