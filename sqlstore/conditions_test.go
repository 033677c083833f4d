package sqlstore

import (
	"slices"
	"testing"
)

// TestConditions finds the CHECKs in definitions as SQLite stores them.
func TestConditions(t *testing.T) {
	for create, want := range map[string][]string{
		`CREATE TABLE t (a text)`:                                   nil,
		`CREATE TABLE t (a text check (a = 'x'))`:                   {"a = 'x'"},
		`CREATE TABLE t (a text CHECK(a in ('(', ')')), b int)`:     {"a in ('(', ')')"},
		`CREATE TABLE t (a text, constraint "check (x)" check (b))`: {"b"},
		`CREATE TABLE t (a text -- check (x)
			check (a) /* check (y) */ default 'check (z)')`: {"a"},
		`CREATE TABLE t (a text check ((a) like (b)), check (c))`:      {"(a) like (b)", "c"},
		`CREATE TABLE t ("check" text, [check (] text, checked (1))`:   nil,
		`CREATE TABLE t (a text check (a = 'it''s)') check (")" = b))`: {"a = 'it''s)'", `")" = b`},
		`CREATE TABLE t (a text check (a`:                              nil,
	} {
		if got := conditions(create); !slices.Equal(got, want) {
			t.Errorf("%s: %q", create, got)
		}
	}
}
