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

Comparing all identities at Ory with the ledger and the users' rows, and making the missing links. The figures are medians of %d
interleaved rounds. Each measurement runs in its own process, and Ory in another. Compare the ratios. The targets are at most 1.25 for
listing and pass, 128 MB for a pass, and 2.00 for missing links.

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
- **Listing:** the baseline fetches the pages one after another and discards them. Symbolon also decodes every identity strictly. It
  fetches the next page while it decodes one.
- **Pass:** the baseline is that listing. Symbolon also reads the ledger and the users' rows page by page, and computes a digest of the
  values of each identity's columns. Nothing is written. Memory is the maximum resident memory of the process.
- **The fake Ory** answers a page in a hundredth of the time that Kratos takes. In practice Ory's own work takes most of the time, and
  with the fake Ory it does not. This is the hardest case, not the usual one.
- **Ory Kratos** is a real one on Postgres. A thousand of its people are imported, and the rest are copies of their rows.
- **Missing links:** the baseline inserts the same three rows (user, ledger, event), 500 of each in a prepared
  statement and a transaction, without reading anything. Symbolon also reads which identities it knows already, decides and mints an ID
  for each, and checks the database's answer for each row. Slices of 5,000 alternate.
`
