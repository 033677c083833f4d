// Package doctor proves a setup: that Ory is where it is said to be, that its hooks come
// and carry what they must, that the users table can take everybody. Each [Result] says
// what is so, what breaks for whom, and the exact change that mends it.
//
// "Don't know" is a result of its own: never a yes, and never a fault. What a fault
// brings about is reported once, where it stands; what follows from it is unknown.
//
// The checks write nothing anywhere, but for [Doctor.Live], which makes a throw-away
// person and takes it away again.
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

// Verdict is what a check came to.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Problem Verdict = "problem"
	Unknown Verdict = "unknown" // it was looked for and could not be found out
	Skipped Verdict = "skipped" // it was not looked for: nothing to look at, or not asked to
)

// Result is what one check found.
type Result struct {
	Check   string  `json:"check"` // ory.clock; the part before the dot is the group
	Verdict Verdict `json:"verdict"`
	Is      string  `json:"is"`               // what is so
	Breaks  string  `json:"breaks,omitempty"` // what breaks, and for whom
	Mend    string  `json:"mend,omitempty"`   // the exact change that mends it
}

// Doctor examines one installation. Its fields are what the server runs with. It is used
// for one examination, by one goroutine.
type Doctor struct {
	// Ory is asked as the server asks it. Required.
	Ory *ory.Client

	// Actions are the hooks as they would be printed: what Kratos should have. Required.
	Actions hooks.Actions

	// Kratos is the configuration that Kratos runs with; nil: it is not known.
	Kratos *hooks.KratosFile

	// Table is the users table, and Bonds what the ledger holds. Both nil: the database
	// cannot be asked, and Database says why.
	Table    Table
	Bonds    Bonds
	Database error

	// Project is part of every ledger entry. Defaults to "default".
	Project string

	// MaxStale is how old an answer of whoami may be (auth.max_stale). Defaults to 10
	// seconds.
	MaxStale time.Duration

	// Sessions is how many sessions are in use at the same moment. 0: as many as Ory says
	// are active.
	Sessions int

	// Silence is how long sign-ups may go on without one link hook. Defaults to 7 days.
	Silence time.Duration

	// OnIdentityDeleted, ReleaseColumns and AnonymiseColumns are what the section users of
	// the configuration calls so.
	OnIdentityDeleted symbolon.RowPolicy
	ReleaseColumns    []string
	AnonymiseColumns  []string

	// Unsigned asks the application that makes its users itself (users.create_url) for one
	// by a POST without a signature, and returns the status of its answer; nil: Symbolon
	// makes the users.
	Unsigned func(context.Context) (status int, err error)

	// HTTP asks whether the hooks can be reached from here. Redirects are never followed.
	// Defaults to a client with a timeout of 5 seconds.
	HTTP *http.Client

	// TokenKeys reads the public keys of Ory's tokens (auth.jwt.jwks): which can be used,
	// and why others cannot. Nil: no tokens are taken.
	TokenKeys func(ctx context.Context) (used, unused []string, err error)

	// Live proves the hooks by a person who signs up; nil: do not.
	Live *Live

	// Now defaults to time.Now.
	Now func() time.Time

	whoami  func() (ory.Probe, error)
	admin   func() (ory.Probe, error)
	faults  func() ([]TableFault, error)
	reached func() []reach
}

// check is one thing that is looked at.
type check struct {
	name string
	run  func(*Doctor, context.Context) Result
}

// checks in the order in which people read them: what stands first breaks more.
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

// Checks names every check, those of [Live] last.
func Checks() []string {
	var out []string
	for _, c := range checks {
		out = append(out, c.name)
	}
	return append(out, liveChecks...)
}

// Examine makes every check and hands each result to tell as it comes. A context that
// ends makes the rest unknown; what Live made is taken away all the same.
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

// prepare makes what several checks look at be asked once.
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

func unknown(mend, format string, args ...any) Result {
	return Result{Verdict: Unknown, Is: fmt.Sprintf(format, args...), Mend: mend}
}

// problem begins with what is so; breaks and mend complete it.
func problem(format string, args ...any) Result {
	return Result{Verdict: Problem, Is: fmt.Sprintf(format, args...)}
}

func (r Result) breaks(format string, args ...any) Result {
	r.Breaks = fmt.Sprintf(format, args...)
	return r
}

func (r Result) mend(format string, args ...any) Result {
	r.Mend = fmt.Sprintf(format, args...)
	return r
}
