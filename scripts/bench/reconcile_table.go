package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

const reconcileHeading = "## Reconcile"

// databases are the names of the databases, with their durability.
var databases = map[sqlstore.Dialect]string{sqlstore.SQLite: "SQLite (FULL)", sqlstore.Postgres: "Postgres"}

// table returns this program's part of BENCHMARKS.md.
func (b *reconcileBench) table(fake, real passes, links map[sqlstore.Dialect]linked) string {
	var out strings.Builder
	fmt.Fprintf(&out, `%s

Comparing everybody at Ory with the ledger and the users' rows, and making the links that are missing: medians of interleaved
rounds, %d of them, each measurement in a process of its own, Ory in another. As above the ratio counts. Wanted are 1.25 at the
most for listing and pass, 128 MB for a pass, and 2.00 for missing links.

`+"```\nmake bench-reconcile\n```"+`

Measured %s.

| What | Identities | Baseline | Symbolon | Ratio | Memory |
|---|---:|---:|---:|---:|---:|
`, reconcileHeading, b.rounds, machine())
	fake.rows(&out, "a fake Ory", b.n)
	if real != nil {
		real.rows(&out, "Ory Kratos "+symbolontest.KratosVersion, b.kratos)
	}
	for _, d := range dialects {
		l := links[d]
		fmt.Fprintf(&out, "| missing links, %s, against a bare multi-row insert | %s | %s | %s | %.2f | |\n", databases[d], thousands(b.n),
			span(median(l.bare)), span(median(l.ours)), ratio(l.ours, l.bare))
	}
	out.WriteString(reconcileNotes)
	fmt.Fprintf(&out, "- **All of it:** %s missing links, by a run with three listings, took %.1f s on SQLite and %.1f s on Postgres.\n",
		thousands(b.n), fake["mend/"+string(sqlstore.SQLite)][0].Seconds, fake["mend/"+string(sqlstore.Postgres)][0].Seconds)
	return out.String()
}

func (p passes) rows(out *strings.Builder, ory string, n int) {
	row := func(what string, ours, baseline string) {
		took, floor := each(p[ours], seconds), each(p[baseline], seconds)
		fmt.Fprintf(out, "| %s; %s | %s | %.2f s | %.2f s | %.2f | %.0f MB |\n", what, ory, thousands(n), median(floor), median(took),
			ratio(took, floor), slices.Max(each(p[ours], megabytes)))
	}
	row("listing, decoded, against fetching its raw pages", decode, raw)
	for _, d := range dialects {
		row("pass, "+databases[d]+", against the listing decoded", string(d), decode)
	}
}

func seconds(f figures) float64 { return f.Seconds }

// megabytes returns the maximum resident set size.
func megabytes(f figures) float64 { return float64((f.RSS + 1023) / 1024) }

const reconcileNotes = `
- **Listing:** the baseline fetches the pages one after another and throws them away. Beyond it: every identity, decoded
  strictly. The next page is fetched while one is decoded.
- **Pass:** the baseline is that listing. Beyond it: the ledger and the users' rows, read page by page, and a digest of what
  each identity's columns should hold. Nothing is written. Memory is the most that was ever resident in the process.
- **The fake Ory** answers in milliseconds a page for which Kratos takes a hundred times as long: there nothing of ours can hide
  behind Ory's own work, as it does in practice. It is the hardest case, not the common one.
- **Ory Kratos** is a real one on Postgres. A thousand of its people are imported, and the rest are copies of their rows.
- **Missing links:** the baseline inserts the same three rows (user, ledger, event), 500 of each to a statement and a
  transaction, prepared, knowing nothing. Beyond it: who is known already, the decision and a minted ID for each, and what the
  databases say of each row that was made. Slices of 5,000 alternate.
`
