// Package doctor checks an installation: that Ory is at the configured addresses, that its
// hooks arrive and carry the right data, and that the users table accepts every row. Each
// [Result] says what was found, what it breaks and for whom, and the exact change that fixes
// it.
//
// "Don't know" is a result of its own, neither good nor a fault. A fault is reported once,
// at its cause. The checks that depend on it are unknown.
//
// The checks write nothing, except [Doctor.Live], which signs up a test person and
// deletes it again.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/ory"
)

// Verdict is the outcome of a check.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Problem Verdict = "problem"
	Unknown Verdict = "unknown" // the check could not find out
	Skipped Verdict = "skipped" // the check does not apply, or was not requested
)

// Result is the result of one check.
type Result struct {
	Check   string  `json:"check"` // ory.clock; the part before the dot is the group
	Verdict Verdict `json:"verdict"`
	Is      string  `json:"is"`               // what was found
	Breaks  string  `json:"breaks,omitempty"` // what breaks, and for whom
	Fix     string  `json:"fix,omitempty"`    // the exact change that fixes it
}

// Doctor examines one installation. Its fields have the same values as in the server.
// It serves one examination, in one goroutine.
type Doctor struct {
	// Ory is the server's client. Required.
	Ory *ory.Client

	// Actions are the hooks that Kratos should have, as `symbolon actions print` prints
	// them. Required.
	Actions hooks.Actions

	// Kratos is the configuration that Kratos runs with. Nil: it is not known.
	Kratos *hooks.KratosFile

	// Table is the users table. Table and Ledger are nil if the database does not answer;
	// Database is the error then.
	Table    Table
	Ledger   Ledger
	Database error

	// Project is part of every ledger entry. Defaults to "default".
	Project string

	// MaxStale is the maximum age of a cached whoami answer (auth.max_stale). Defaults to 10
	// seconds.
	MaxStale time.Duration

	// Sessions is how many sessions are in use at the same time. 0: the number of sessions
	// that are active at Ory.
	Sessions int

	// Silence is how long sign-ups may continue without a link hook before that is a
	// problem. Defaults to 7 days.
	Silence time.Duration

	// OnIdentityDeleted and ReleaseColumns are the keys of the same names in section users
	// of the configuration.
	OnIdentityDeleted symbolon.RowPolicy
	ReleaseColumns    []string

	// Unsigned sends a POST without a signature to the application that creates its own
	// users (users.create_url), and returns the status of the answer. Nil: Symbolon creates
	// the users.
	Unsigned func(context.Context) (status int, err error)

	// HTTP requests the hooks' URLs. Redirects are never followed. Defaults to a client with a
	// timeout of 5 seconds.
	HTTP *http.Client

	// TokenKeys reads the public keys of Ory's tokens (auth.jwt.jwks). It returns the usable
	// keys, and the reason for each other key. Nil: tokens are not accepted.
	TokenKeys func(ctx context.Context) (used, unused []string, err error)

	// Prove inserts a row and rolls it back. Nil: no row is inserted.
	Prove func(ctx context.Context) (Proof, error)

	// Live tests the hooks by signing up a person. Nil: no person is signed up.
	Live *Live

	// Now defaults to time.Now.
	Now func() time.Time

	whoami  func() (ory.Probe, error)
	admin   func() (ory.Probe, error)
	faults  func() ([]TableFault, error)
	reached func() []reach
}

// check is one check and its name. If it has a need, the need is checked first.
type check struct {
	name string
	need need
	run  func(*Doctor, context.Context) Result
}

// need returns false, and the result of the check, if the check cannot be run.
type need func(*Doctor) (Result, bool)

// checks are in the order of the report. Faults that break the most come first.
var checks = []check{
	{"ory.public", nil, (*Doctor).checkPublic},
	{"ory.admin", nil, (*Doctor).checkAdmin},
	{"ory.admin_open", (*Doctor).needPublic, (*Doctor).checkAdminOpen},
	{"ory.clock", (*Doctor).needPublic, (*Doctor).checkClock},
	{"ory.page_cap", (*Doctor).needAdmin, (*Doctor).checkPageCap},
	{"ory.rate_plan", (*Doctor).needPublic, (*Doctor).checkRatePlan},
	{"ory.token_keys", nil, (*Doctor).checkTokens},
	{"users.database", nil, (*Doctor).checkDatabase},
	{"users.layout", (*Doctor).needDatabase, tableCheck("no_layout")},
	{"users.ledger", (*Doctor).needDatabase, tableCheck("other_table")},
	{"users.table", (*Doctor).needDatabase, tableCheck("no_table")},
	{"users.column", (*Doctor).needTable, tableCheck("no_column")},
	{"users.type", (*Doctor).needTable, tableCheck("wrong_type")},
	{"users.unique", (*Doctor).needTable, tableCheck("not_unique")},
	{"users.row", (*Doctor).needTable, (*Doctor).checkRow},
	{"users.spelling", (*Doctor).needTable, tableCheck("spelling")},
	{"users.hidden", (*Doctor).needTable, tableCheck("hiding")},
	{"users.rights", nil, (*Doctor).checkRights},
	{"users.triggers", (*Doctor).needTable, (*Doctor).checkTriggers},
	{"users.start", (*Doctor).needTable, (*Doctor).checkStart},
	{"users.release", nil, (*Doctor).checkRelease},
	{"users.create_url", nil, (*Doctor).checkCreateURL},
	{"hooks.url", nil, (*Doctor).checkURL},
	{"hooks.redirect", nil, (*Doctor).checkRedirect},
	{"hooks.server_key", nil, (*Doctor).checkServerKey},
	{"hooks.global", (*Doctor).needFile, (*Doctor).checkGlobal},
	{"hooks.reserve_missing", (*Doctor).needFile, (*Doctor).checkReserveMissing},
	{"hooks.link_missing", (*Doctor).needFile, (*Doctor).checkLinkMissing},
	{"hooks.reserve_parse", (*Doctor).needFile, hookCheck(reserveParse)},
	{"hooks.reserve_last", (*Doctor).needFile, hookCheck(reserveLast)},
	{"hooks.link_parse", (*Doctor).needFile, hookCheck(linkParse)},
	{"hooks.link_ignore", (*Doctor).needFile, hookCheck(linkIgnore)},
	{"hooks.login_missing", (*Doctor).needFile, (*Doctor).checkLoginMissing},
	{"hooks.login_ignore", (*Doctor).needFile, (*Doctor).checkLoginWaits},
	{"hooks.mapper", (*Doctor).needFile, (*Doctor).checkMapper},
	{"hooks.can_interrupt", (*Doctor).needFile, (*Doctor).checkInterrupt},
	{"hooks.key", (*Doctor).needFile, (*Doctor).checkKey},
	{"hooks.old_key", (*Doctor).needFile, (*Doctor).checkOldKey},
	{"hooks.reserve_body", (*Doctor).needFile, (*Doctor).checkReserveBody},
	{"hooks.link_body", (*Doctor).needFile, (*Doctor).checkLinkBody},
	{"hooks.silent", (*Doctor).needLedger, (*Doctor).checkSilent},
}

// Checks returns the names of all checks. The checks of [Live] are last.
func Checks() []string {
	var out []string
	for _, c := range checks {
		out = append(out, c.name)
	}
	return append(out, liveChecks...)
}

// Examine runs every check and passes each result to tell immediately. If the context ends, the
// other checks are unknown. The person of Live is deleted even then.
func (d *Doctor) Examine(ctx context.Context, tell func(Result)) []Result {
	d.prepare(ctx)
	var all []Result
	report := func(name string, r Result) {
		r.Check = name
		all = append(all, r)
		if tell != nil {
			tell(r)
		}
	}
	for _, c := range checks {
		report(c.name, c.result(ctx, d))
	}
	d.checkLive(ctx, report)
	return all
}

func (c check) result(ctx context.Context, d *Doctor) Result {
	if c.need != nil {
		if r, ok := c.need(d); !ok {
			return r
		}
	}
	return c.run(d, ctx)
}

// prepare fills in defaults. It also makes each request whose answer several checks need, so
// that the request is made only once.
func (d *Doctor) prepare(ctx context.Context) {
	d.Project = cmp.Or(d.Project, symbolon.DefaultProject)
	if d.MaxStale <= 0 {
		d.MaxStale = 10 * time.Second
	}
	if d.Silence <= 0 {
		d.Silence = 7 * 24 * time.Hour
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	d.whoami = sync.OnceValues(func() (ory.Probe, error) {
		return patiently(ctx, d.Ory.ProbeWhoami)
	})
	d.admin = sync.OnceValues(func() (ory.Probe, error) {
		return patiently(ctx, func(ctx context.Context) (ory.Probe, error) { return d.Ory.ProbeIdentities(ctx, 1) })
	})
	d.faults = sync.OnceValues(func() ([]TableFault, error) {
		if d.Table == nil {
			return nil, symbolon.ErrUnavailable
		}
		return d.Table.Examine(ctx)
	})
	d.reached = sync.OnceValue(func() []reach { return d.reachAll(ctx) })
}

func well(format string, args ...any) Result {
	return Result{Verdict: OK, Is: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Result {
	return Result{Verdict: Skipped, Is: fmt.Sprintf(format, args...)}
}

// unknownUntil is the result of a check that depends on another check, which found a problem.
// The parameter other is the name of that check.
func unknownUntil(other, format string, args ...any) Result {
	return unknown("first fix the problem of check "+other, format, args...)
}

func unknown(fix, format string, args ...any) Result {
	return Result{Verdict: Unknown, Is: fmt.Sprintf(format, args...), Fix: fix}
}

// problem makes a Result with what was found. Its methods breaks and fix complete it.
func problem(format string, args ...any) Result {
	return Result{Verdict: Problem, Is: fmt.Sprintf(format, args...)}
}

func (r Result) breaks(format string, args ...any) Result {
	r.Breaks = fmt.Sprintf(format, args...)
	return r
}

func (r Result) fix(format string, args ...any) Result {
	r.Fix = fmt.Sprintf(format, args...)
	return r
}
