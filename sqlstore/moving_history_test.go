package sqlstore_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// permutations returns all orders of some words.
func permutations(words []string) (all [][]string) {
	if len(words) == 0 {
		return [][]string{nil}
	}
	for i, first := range words {
		rest := slices.Delete(slices.Clone(words), i, i+1)
		for _, p := range permutations(rest) {
			all = append(all, append([]string{first}, p...))
		}
	}
	return all
}

// TestPermutedAddresses permutes the addresses of up to four people in every way. The news
// of one person of each ring arrives, from another one each time, and the last ring's news
// is lost each second time. After the news all rows of a ring are as at Ory, and no others
// have changed. After a comparison with Ory everybody's row is.
func TestPermutedAddresses(t *testing.T) {
	kinds := slices.DeleteFunc(slices.Clone(kindsOfColumn), func(k kindOfColumn) bool { return k.likeAnother })
	onEachColumn(t, kinds, func(t *testing.T, k kindOfColumn, p *people) {
		store := p.store(p.DB)
		for n := 2; n <= 4; n++ {
			start := strings.Fields("a b c d")[:n]
			w := p.settle(t, store, strings.Join(start, " "))
			for turn, to := range permutations(start) {
				before := strings.Fields(w.rows())
				all := rings(before, to)
				w.change(strings.Join(to, " "))
				for i, ring := range all {
					if i == len(all)-1 && turn%2 == 1 {
						break
					}
					w.news(ring[turn%len(ring)])
					w.rightAfterNews(k, before, to, all[:i+1])
				}
				w.pass()
				w.rightAfterPass(k, before, to)
				if t.Failed() {
					return
				}
			}
		}
	})
}

// rings returns the groups of people between whom the addresses move around.
func rings(before, to []string) (all [][]int) {
	seen := map[int]bool{}
	for who := range to {
		var members []int
		for i := who; !seen[i]; i = slices.Index(before, to[i]) {
			members, seen[i] = append(members, i), true
		}
		if len(members) > 0 {
			all = append(all, members)
		}
	}
	return all
}

func (w *town) rightAfterNews(k kindOfColumn, before, to []string, told [][]int) {
	w.t.Helper()
	want := slices.Clone(before)
	for _, i := range slices.Concat(told...) {
		if k.exchanges() {
			want[i] = to[i]
		}
	}
	if rows := strings.Fields(w.rows()); !slices.Equal(rows, want) {
		w.t.Errorf("%v → %v, news of the rings %v: the table has %v, want %v", before, to, told, rows, want)
	}
}

func (w *town) rightAfterPass(k kindOfColumn, before, to []string) {
	w.t.Helper()
	want, open := slices.Clone(to), []string{}
	for _, ring := range rings(before, to) {
		if len(ring) > 1 && !k.exchanges() {
			for _, i := range ring {
				want[i] = before[i]
				open = append(open, strconv.Itoa(i))
			}
		}
	}
	slices.Sort(open)
	w.want(fmt.Sprintf("%v → %v, after a pass", before, to), strings.Join(want, " "), strings.Join(open, " "))
}

// TestHistoriesOfAddresses moves addresses between people in random histories, in which
// news is lost, arrives in any order, and Ory is silent about somebody. After each
// comparison with Ory a row has what Ory says, or a finding says why not. When Ory answers
// and no address is left that two people share, every row has what Ory says.
func TestHistoriesOfAddresses(t *testing.T) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) {
			db := open(t, dialect)
			var tables []*people
			var kinds []kindOfColumn
			var stores []*sqlstore.Store
			for _, k := range kindsOfColumn {
				if k.only == "" || k.only == dialect {
					p := k.create(t, db)
					kinds, tables, stores = append(kinds, k), append(tables, p), append(stores, p.store(p.DB))
				}
			}
			rapid.Check(t, func(r *rapid.T) {
				i := rapid.IntRange(0, len(kinds)-1).Draw(r, "kind")
				moveAround(t, r, kinds[i], tables[i], stores[i])
			})
		})
	}
}

func moveAround(t *testing.T, r *rapid.T, k kindOfColumn, p *people, store *sqlstore.Store) {
	at := strings.Fields("a b c d")[:rapid.IntRange(2, 4).Draw(r, "people")]
	w := p.settle(t, store, strings.Join(at, " "))
	fresh := 0
	for range rapid.IntRange(1, 6).Draw(r, "steps") {
		who := rapid.IntRange(0, len(at)-1).Draw(r, "who")
		switch rapid.SampledFrom([]string{"permute", "take", "new", "none", "news", "news", "news", "silent", "pass"}).Draw(r, "step") {
		case "permute":
			at = rapid.Permutation(at).Draw(r, "addresses")
		case "take": // an address that somebody else gives up for a new one
			fresh++
			from := rapid.IntRange(0, len(at)-1).Draw(r, "from")
			at = slices.Clone(at)
			at[who], at[from] = at[from], fmt.Sprint("n", fresh)
		case "new":
			fresh++
			at = slices.Clone(at)
			at[who] = fmt.Sprint("n", fresh)
		case "none":
			at = slices.Clone(at)
			at[who] = "-"
		case "news":
			w.news(slices.DeleteFunc([]int{who}, func(i int) bool { return w.ory.isSilent(w.ids[i]) })...)
		case "silent":
			w.ory.answers(w.ids[who], rapid.Bool().Draw(r, "answers"))
		case "pass":
			w.pass()
			w.likeOry(r, k, at)
		}
		w.change(strings.Join(at, " "))
	}
	for _, id := range w.ids {
		w.ory.answers(id, true)
	}
	w.pass()
	w.likeOry(r, k, at)
	settles := k.exchanges() && (!k.defers() || !slices.Contains(at, "-"))
	if open := w.open(); settles && open != "" {
		r.Fatalf("%v at Ory, %s in the table, and findings of %s", at, w.rows(), open)
	}
}

// likeOry checks that each row has what Ory says, or that a finding says why not.
func (w *town) likeOry(r *rapid.T, k kindOfColumn, at []string) {
	rows, open := strings.Fields(w.rows()), strings.Fields(w.open())
	for i := range at {
		same := rows[i] == at[i]
		if at[i] == "-" && !k.nullable() {
			same = !slices.Contains(at, rows[i]) || len(open) > 0 // it keeps an old address that nobody else has, or a placeholder
		}
		if !same && !slices.Contains(open, strconv.Itoa(i)) {
			r.Fatalf("%v at Ory, %v in the table, and findings of %v", at, rows, open)
		}
	}
}
