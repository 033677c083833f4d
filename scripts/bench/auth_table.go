package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/symbolontest"
)

const authHeading = "## Which of my users is this?"

// table returns this program's part of BENCHMARKS.md.
func (b *authBench) table(f authFigures) string {
	var out strings.Builder
	fmt.Fprintf(&out, `%s

What a request's answer costs: over HTTP at `+"`symbolon serve`"+`, in process, and where nothing is cached. The figures are
medians over %d interleaved rounds; a ratio is the median of the rounds' ratios. The client has %d connections and runs on the same
machine as the servers. Compare the ratios.

`+"```\nmake bench-auth\n```"+`

Measured %s, Ory Kratos %s.

| What | Baseline | Symbolon | Ratio | Wanted |
|---|---:|---:|---:|---:|
`, authHeading, b.rounds, b.conns, machine(), symbolontest.KratosVersion)
	f.http.rows(&out)
	missRows(&out, f.kratos, "Ory Kratos", "≥ 92 %", "")
	missRows(&out, f.quick, "an Ory that answers from memory", "", "≥ 90 %")
	insideRows(&out, f.inside)
	fmt.Fprintf(&out, "| time spent waiting for locks, 10,000 random sessions, %d at once | | %.2f %% | | ≤ 1 %% |\n", runtime.GOMAXPROCS(0), median(f.inside.of("Contention", waited)))
	if b.held {
		sessions, bytes := median(f.inside.of("Held", "sessions")), median(f.inside.of("Held", "bytes/session"))
		fmt.Fprintf(&out, "| %s live sessions held: bytes of heap for each | | %.0f | | |\n", thousands(int(sessions)), bytes)
	}
	out.WriteString(authNotes)
	for _, lock := range f.locks {
		fmt.Fprintf(&out, "  %s.\n", lock)
	}
	return out.String()
}

func (l loads) rows(out *strings.Builder) {
	for _, kind := range []struct{ what, ours, plain string }{{"cookie", oursByCookie, plainByCookie}, {"session token", oursByToken, plainByToken}} {
		ours, plain := each(l[kind.ours], perSecond), each(l[kind.plain], perSecond)
		fmt.Fprintf(out, "| `GET /auth` by %s, requests/s, against a plain handler | %.0f | %.0f | %.0f %% | ≥ 90 %% |\n", kind.what, median(plain), median(ours), 100*ratio(ours, plain))
		ours, plain = each(l[kind.ours], p99), each(l[kind.plain], p99)
		fmt.Fprintf(out, "| the same, 99th percentile | %s | %s | %.2f | ≤ 1.5 |\n", span(median(plain)), span(median(ours)), ratio(ours, plain))
	}
	ours, naive := each(l[oursByCookie], perSecond), each(l[naiveByCookie], perSecond)
	fmt.Fprintf(out, "| `GET /auth` by cookie, requests/s, against whoami and a SELECT by hand | %.0f | %.0f | %.0f × | ≥ 50 × |\n", median(naive), median(ours), ratio(ours, naive))
}

func perSecond(l load) float64 { return l.perSecond }
func p99(l load) float64       { return float64(l.p99) }

func missRows(out *strings.Builder, rounds []missRound, ory, wanted, wantedByHand string) {
	whoami := each(rounds, func(r missRound) float64 { return r.Whoami })
	byHand := each(rounds, func(r missRound) float64 { return r.ByHand })
	expired := each(rounds, func(r missRound) float64 { return r.Expired })
	first := each(rounds, func(r missRound) float64 { return r.New })
	row := func(what string, ours, baseline []float64, wanted string) {
		fmt.Fprintf(out, "| %s; %s | %.0f | %.0f | %.0f %% | %s |\n", what, ory, median(baseline), median(ours), 100*ratio(ours, baseline), wanted)
	}
	row("nothing cached, sessions/s, against whoami alone", expired, whoami, wanted)
	row("the same, sessions never seen before", first, whoami, wanted)
	row("nothing cached, against whoami and a SELECT by hand", expired, byHand, wantedByHand)
}

func insideRows(out *strings.Builder, inside results) {
	var allocs []float64
	for _, row := range []struct{ what, name, wanted string }{
		{"middleware, session token, hot", "Middleware/token/hot", "≤ 1.6"},
		{"middleware, session token, 10,000 random", "Middleware/token/random", "≤ 2.5"},
		{"middleware, cookie of 430 characters, hot", "Middleware/cookie/hot", "≤ 1.6"},
		{"middleware, cookie, 10,000 random", "Middleware/cookie/random", "≤ 2.5"},
	} {
		floor, ours, ratios := inside.of(row.name, "ns/floor"), inside.of(row.name, "ns/require"), inside.of(row.name, "ratio")
		fmt.Fprintf(out, "| %s | %s | %s | %.2f | %s |\n", row.what, span(median(floor)), span(median(ours)), median(ratios), row.wanted)
		allocs = append(allocs, inside.of(row.name, "allocs/require")...)
	}
	fmt.Fprintf(out, "| allocations of a cached hit | | %.0f | | ≤ 3 |\n", slices.Max(allocs))
}

const authNotes = `
- **` + "`GET /auth`" + `:** each server is a separate process, and so is the client. The plain handler is net/http's server with a function
  that sets the same headers from constants. ` + "`symbolon serve`" + ` is the program with only the addresses of Ory and of the
  database set. Router, metrics, log and the refresh of the sessions in use are part of the figure.
- **By hand:** a handler without a cache: whoami and one SELECT, with kept-alive connections and prepared statements, against the
  same Kratos on the same Postgres.
- **Nothing cached:** every cached answer has expired, and every request asks Ory. The baseline is the same client with the same
  connections, which calls only whoami, 8 calls at once. Symbolon also reads the link and the user's row, in one query to Postgres. For
  sessions never seen before it also writes the record that other replicas use, within the measured time. With an Ory that answers from
  memory, these are most of the time.
- **What is missing to 90 %** of whoami and a SELECT by hand, as CPU time of all processes (2026-11-30, a loaded machine, 3 × 50 interleaved
  rounds): 288 µs for a session instead of 235 µs. Postgres takes 15 µs more, because it reads two tables instead of one. The client takes
  about 16 µs more for a larger answer and the decision, 9 µs for the goroutine of a question that other requests may join, and 13 µs
  for the caches.
- **Middleware:** the baseline puts a value into the request's context and computes one SHA-256 of the same credential. Symbolon also
  finds the credential, reads the cache, and checks that the answer is still fresh.
- **Held:** the answer, its cache entry, and the record with which a later 401 is checked. Waiting requests
  share one question to Ory. This is tested and not measured: TestStampede has 10,000 requests wait for one session.
- **Locks:** the waiting time of Go's mutex profile, with every event recorded, divided by the running time of all goroutines.
`
