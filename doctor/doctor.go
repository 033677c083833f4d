// Package doctor checks an installation: that Ory is at the configured addresses, that its
// hooks arrive and carry the right data, and that the users table accepts every row. Each
// [Result] says what was found, what it breaks and for whom, and the exact change that fixes
// it.
//
// "Don't know" is a result of its own, never a yes and never a fault. A fault is reported once,
// at its cause; checks that depend on it are unknown.
//
// The checks write nothing, except [Doctor.Live], which signs up a test person and
// deletes it again.
package doctor

import (
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

// Doctor examines one installation. Its fields have the values that the server runs with.
// It serves one examination, in one goroutine.
type Doctor struct {
	// Ory is the server's client. Required.
	Ory *ory.Client

	// Actions are the hooks that Kratos should have, as `symbolon actions print` prints
	// them. Required.
	Actions hooks.Actions

	// Kratos is the configuration that Kratos runs with. Nil: it is not known.
	Kratos *hooks.KratosFile

	// Table is the users table, Bonds the ledger. Both are nil if the database does not
	// answer; Database is the error then.
	Table    Table
	Bonds    Bonds
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

	// OnIdentityDeleted, ReleaseColumns and AnonymiseColumns are the keys of the same names
	// in section users of the configuration.
	OnIdentityDeleted symbolon.RowPolicy
	ReleaseColumns    []string
	AnonymiseColumns  []string

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

	// Live proves the hooks by signing up a person. Nil: this is skipped.
	Live *Live

	// Now defaults to time.Now.
	Now func() time.Time

	whoami  func() (ory.Probe, error)
	admin   func() (ory.Probe, error)
	faults  func() ([]TableFault, error)
	reached func() []reach
}

// check is one check and its name.
type check struct {
	name string
	run  func(*Doctor, context.Context) Result
}

// checks are in the order of the report. The first ones break the most.
var checks = []check{
	{"ory.public", (*Doctor).checkPublic},
	{"ory.admin", (*Doctor).checkAdmin},
	{"ory.admin_open", (*Doctor).checkAdminOpen},
	{"ory.clock", (*Doctor).checkClock},
	{"ory.page_cap", (*Doctor).checkPageCap},
	{"ory.rate_plan", (*Doctor).checkRatePlan},
	{"ory.token_keys", (*Doctor).checkTokens},
	{"users.database", (*Doctor).checkDatabase},
	{"users.layout", tableCheck("no_layout")},
	{"users.table", tableCheck("no_table")},
	{"users.column", tableCheck("no_column")},
	{"users.type", tableCheck("wrong_type")},
	{"users.unique", tableCheck("not_unique")},
	{"users.row", tableCheck("refusing")},
	{"users.release", (*Doctor).checkRelease},
	{"users.create_url", (*Doctor).checkCreateURL},
	{"hooks.url", (*Doctor).checkURL},
	{"hooks.redirect", (*Doctor).checkRedirect},
	{"hooks.global", (*Doctor).checkGlobal},
	{"hooks.reserve_missing", (*Doctor).checkReserveMissing},
	{"hooks.link_missing", (*Doctor).checkLinkMissing},
	{"hooks.reserve_parse", (*Doctor).checkReserveParse},
	{"hooks.reserve_last", (*Doctor).checkReserveLast},
	{"hooks.link_parse", (*Doctor).checkLinkParse},
	{"hooks.link_ignore", (*Doctor).checkLinkIgnore},
	{"hooks.can_interrupt", (*Doctor).checkInterrupt},
	{"hooks.key", (*Doctor).checkKey},
	{"hooks.old_key", (*Doctor).checkOldKey},
	{"hooks.reserve_body", (*Doctor).checkReserveBody},
	{"hooks.link_body", (*Doctor).checkLinkBody},
	{"hooks.silent", (*Doctor).checkSilent},
}

// Checks returns the names of all checks. The checks of [Live] are last.
func Checks() []string {
	var out []string
	for _, c := range checks {
		out = append(out, c.name)
	}
	return append(out, liveChecks...)
}

// Examine runs every check and passes each result to tell at once. If the context ends, the
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
		report(c.name, c.run(d, ctx))
	}
	d.checkLive(ctx, report)
	return all
}

// prepare fills in defaults, and makes each request that several checks need only once.
func (d *Doctor) prepare(ctx context.Context) {
	if d.Project == "" {
		d.Project = symbolon.DefaultProject
	}
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
		return patiently(ctx, func() (ory.Probe, error) { return d.Ory.ProbeWhoami(ctx) })
	})
	d.admin = sync.OnceValues(func() (ory.Probe, error) {
		return patiently(ctx, func() (ory.Probe, error) { return d.Ory.ProbeIdentities(ctx, 1) })
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
