package sqlstore_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// TestSignUpForm tests the values of the sign-up form. They reach the row whether the person's
// first request or the hook comes first, with and without the admin API. Nothing else changes
// them, and a value that does not fit is a finding.
func TestSignUpForm(t *testing.T) {
	type step struct {
		form   string // empty: a reading without the form
		ticket bool
		want   string
	}
	for _, tt := range []struct {
		name    string
		steps   []step
		refused bool
	}{
		{"the hook first, by its body", []step{{`{"ref":"friend-7","seats":3}`, false, "friend-7 3"}, {"", true, "friend-7 3"}}, false},
		{"a request first", []step{{"", false, "none -"}, {`{"ref":"friend-7","seats":3}`, false, "friend-7 3"}, {"", true, "friend-7 3"}}, false},
		{"read at Ory first, then the body", []step{{"", true, "none -"}, {`{"ref":"friend-7"}`, false, "friend-7 -"}, {"", true, "friend-7 -"}}, false},
		{"the body twice", []step{{`{"ref":"a"}`, false, "a -"}, {`{"ref":"a"}`, false, "a -"}}, false},
		{"a form without the values", []step{{"", true, "none -"}, {`{"other":1}`, false, "none -"}}, false},
		{"null takes nothing away", []step{{`{"ref":"a","seats":3}`, false, "a 3"}, {`{"ref":null,"seats":null}`, false, "a 3"}}, false},
		{"a value that does not fit", []step{{"", false, "none -"}, {`{"ref":"a","seats":"many"}`, false, "a -"}}, true},
		{"a value that does not fit, at the insert", []step{{`{"ref":"a","seats":"many"}`, false, "a -"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db database) {
				p := create(t, db, "ref text not null, extra integer, email text", map[string]string{
					"ref": "default(transient_payload.ref, 'none')", "extra": "transient_payload.seats", "email": "traits.email"})
				store := p.store(p.DB)
				l := linkerOf(store)
				id := identityWith(`{"email":"a@b.c"}`)
				var link symbolon.Link
				for i, s := range tt.steps {
					r := symbolon.Reading{Identity: id, Source: symbolon.FromLinkHook}
					if s.ticket {
						r.Ticket = next(t, store)
					}
					if s.form != "" {
						r.Identity.Transient = json.RawMessage(s.form)
					}
					var err error
					if link, err = l.Link(t.Context(), r); err != nil {
						t.Fatal(err)
					}
					if got := p.text(t, `ref || ' ' || coalesce(cast(extra as text), '-')`, link.User); got != s.want {
						t.Errorf("after step %d: %q, want %q", i, got, s.want)
					}
				}
				p.wantFindings(t, l, link, tt.refused)
				digest, err := store.Digest(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				id.Transient = json.RawMessage(`{"ref":"other"}`)
				if with, err := store.Digest(t.Context(), id); err != nil || with != digest {
					t.Errorf("the form is part of the digest, so each reconcile run would write the row again: %v", err)
				}
				if r, err := l.Record(t.Context(), string(id.ID)); err != nil || tt.refused && !strings.Contains(r.Findings[0].Detail, "extra") {
					t.Errorf("%+v %v", r, err)
				}
			})
		})
	}
}

// TestSignUpFormOfADeniedUser has a table that denies every new row, as one for accounts that wait
// for an approval. The row gets the values of the form, and the person stays denied.
func TestSignUpFormOfADeniedUser(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, "pending boolean not null default true, ref text", map[string]string{"ref": "transient_payload.ref"})
		p.users.Deny = map[string]string{"user_pending": "pending"}
		store := p.store(p.DB)
		l, id := linkerOf(store), identityWith(`{}`)
		for _, r := range []symbolon.Reading{{Ticket: next(t, store)}, {Source: symbolon.FromLinkHook}} {
			r.Identity = id
			if r.Ticket == 0 {
				r.Identity.Transient = json.RawMessage(`{"ref":"friend-7"}`)
			}
			if _, err := l.Link(t.Context(), r); !errors.Is(err, symbolon.ErrDenied) {
				t.Fatalf("got %v", err)
			}
		}
		if n := p.count(t, p.sql(`select count(*) from {users} where ref = 'friend-7'`)); n != 1 {
			t.Errorf("%d rows have the value of the form", n)
		}
	})
}
