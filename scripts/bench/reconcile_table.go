package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

const reconcileHeading = "## Reconcile"

// names of the databases, as they write here.
var databases = map[sqlstore.Dialect]string{sqlstore.SQLite: "SQLite (FULL)", sqlstore.Postgres: "Postgres"}

// table is this program's part of BENCHMARKS.md.
func (b *reconcileBench) table(fake, real passes, links map[sqlstore.Dialect]linked) string {
	var out strings.Builder
	fmt.Fprintf(&out, `%s

Comparing everybody at Ory with the ledger and the users' rows, and making the links that are missing: medians of interleaved
rounds, %d of them, each measurement in a process of its own, Ory in another. As above the ratio counts. Wanted are 1.25 at the
most for listing and pass, 128 MB for a pass, and 2.00 for missing links.

`+"```\nmake bench-reconcile\n```"+`

Measured %s on %s/%s, %d cores, %s.

| What | Identities | Baseline | Symbolon | Ratio | Memory |
|---|---:|---:|---:|---:|---:|
`, reconcileHeading, b.rounds, time.Now().UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	fake.rows(&out, "a fake Ory", b.n)
	if real != nil {
		real.rows(&out, "Ory Kratos "+symbolontest.KratosVersion, b.kratos)
	}
	for _, d := range dialects {
		l := links[d]
		fmt.Fprintf(&out, "| missing links, %s, against a bare multi-row insert | %s | %s | %s | %.2f | |\n", databases[d], thousands(b.n),
			each(l.bare), each(l.ours), ratio(l.ours, l.bare))
	}
	out.WriteString(reconcileNotes)
	fmt.Fprintf(&out, "- **All of it:** %s missing links, by a run with three listings, took %.1f s on SQLite and %.1f s on Postgres.\n",
		thousands(b.n), fake["mend/"+string(sqlstore.SQLite)][0].Seconds, fake["mend/"+string(sqlstore.Postgres)][0].Seconds)
	return out.String()
}

func (p passes) rows(out *strings.Builder, ory string, n int) {
	row := func(what string, ours, baseline string) {
		fmt.Fprintf(out, "| %s; %s | %s | %.2f s | %.2f s | %.2f | %d MB |\n", what, ory, thousands(n), median(p.seconds(baseline)),
			median(p.seconds(ours)), ratio(p.seconds(ours), p.seconds(baseline)), p.memory(ours))
	}
	row("listing, decoded, against fetching its raw pages", decode, raw)
	for _, d := range dialects {
		row("pass, "+databases[d]+", against the listing decoded", string(d), decode)
	}
}

func (p passes) seconds(name string) (out []float64) {
	for _, f := range p[name] {
		out = append(out, f.Seconds)
	}
	return out
}

// memory is the most that was resident in any round, in MB.
func (p passes) memory(name string) (most int) {
	for _, f := range p[name] {
		most = max(most, (f.RSS+1023)/1024)
	}
	return most
}

// each is the median of what one identity took.
func each(seconds []float64) string { return span(median(seconds) * 1e9) }

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

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
