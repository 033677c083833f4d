package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/ory"
)

// why is the reason of an error of package ory, without the name of the operation.
func why(err error) string {
	text := strings.TrimSuffix(err.Error(), ": "+symbolon.ErrUnavailable.Error())
	if _, reason, ok := strings.Cut(text, ": ory: "); ok {
		return reason
	}
	return text
}

// patiently repeats ask while Ory limits the rate, for a few minutes at most.
func patiently[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	return wait.PastLimit(ctx, 5, ask)
}

const askAgain = "run it again in a minute"

func (d *Doctor) checkPublic(ctx context.Context) Result {
	p, err := d.whoami()
	if err == nil && p.Status == http.StatusUnauthorized && p.Kratos {
		return well("Ory answers at %s", d.Ory.PublicURL)
	}
	return api{
		url: d.Ory.PublicURL, name: "public",
		breaks:     "every request with a session gets 503, because Symbolon asks this API about the session",
		fix:        "start Ory, or set ory.public_url (SYMBOLON_ORY_PUBLIC_URL) to Ory's public API as this machine sees it",
		redirected: "set ory.public_url to the address that answers without a redirect; Ory's admin port, for example, redirects such requests to the public port",
	}.failed(ctx, p, err)
}

func (d *Doctor) checkAdmin(ctx context.Context) Result {
	if !d.Ory.HasAdmin() {
		return skipped("ory.admin_url is not set: no identity is re-read, no ID is written to Ory, and reconcile, bind and --live cannot run")
	}
	const breaks = "no hook re-reads its identity, no ID is written to Ory, and reconcile, bind and the proof that an identity is gone fail; people who have a user are not affected"
	p, err := d.admin()
	switch {
	case p.Status == http.StatusOK && p.Kratos:
		return well("Ory's admin API answers at %s", d.Ory.AdminURL)
	case p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden:
		return problem("%s refuses the token with %d", d.Ory.AdminURL, p.Status).breaks(breaks).
			fix("set ory.token (SYMBOLON_ORY_TOKEN) to an API key of this Ory project")
	case p.Kratos && p.Status >= 500:
		return problem("%s answers %d: Ory itself has a fault, perhaps in its database", d.Ory.AdminURL, p.Status).breaks(breaks).
			fix("read Ory's log; `curl %s/admin/health/ready` must answer ok", d.Ory.AdminURL)
	}
	return api{
		url: d.Ory.AdminURL, name: "admin", breaks: breaks,
		fix:        "start Ory, or set ory.admin_url (SYMBOLON_ORY_ADMIN_URL) to Ory's admin API as this machine sees it",
		redirected: "set ory.admin_url to the address that answers without a redirect; Ory's public port, for example, redirects such requests to the admin port",
	}.failed(ctx, p, err)
}

// api is one of Ory's two APIs, and what follows if it does not answer as it should.
type api struct {
	url, name  string
	breaks     string
	fix        string
	redirected string // the fix if it answers with a redirect
}

// failed is the result for an API that gave no answer, or an unexpected one. An error says
// nothing about Ory if the doctor was interrupted or if Ory limits the rate.
func (a api) failed(ctx context.Context, p ory.Probe, err error) Result {
	switch {
	case err != nil && (ctx.Err() != nil || errors.Is(err, symbolon.ErrRateLimited)):
		return unknown(askAgain, "the request to %s failed: %s", a.url, why(err))
	case err != nil:
		return problem("%s: %s", a.url, why(err)).breaks("%s", a.breaks).fix("%s", a.fix)
	case p.Status/100 == 3:
		return problem("%s answers %d: it redirects to %s", a.url, p.Status, p.Location).breaks("%s", a.breaks).fix("%s", a.redirected)
	}
	return problem("%s answers %d, but not as Ory's %s API does", a.url, p.Status, a.name).breaks("%s", a.breaks).fix("%s", a.fix)
}

func (d *Doctor) checkAdminOpen(ctx context.Context) Result {
	p, err := patiently(ctx, d.Ory.ProbeStranger)
	switch {
	case err != nil:
		return unknown(askAgain, "the request to %s failed: %s", d.Ory.PublicURL, why(err))
	case p.Status == http.StatusOK && p.Kratos:
		return problem("%s/admin/identities lists the identities to anybody, without a key", d.Ory.PublicURL).
			breaks("anybody who reaches the public URL can read, change and delete every identity, and take over every account").
			fix("do this now: let no proxy pass /admin on to Ory's admin port, and publish Ory's public port (4433) only; then look in the proxy's log for requests of strangers")
	}
	return well("strangers cannot use the admin API at %s/admin", d.Ory.PublicURL)
}

// maxSkew is the largest clock difference that the rules about new identities tolerate.
const maxSkew = 30 * time.Second

func (d *Doctor) checkClock(_ context.Context) Result {
	p, _ := d.whoami()
	if !p.Dated {
		return unknown("let the proxy in front of Ory pass on the header Date", "Ory's answers have no header Date")
	}
	off := p.Skew.Abs().Round(time.Second)
	if p.Skew.Abs() <= maxSkew {
		return well("this machine's clock and Ory's agree (%s apart, to the second)", off)
	}
	side := "ahead of"
	if p.Skew < 0 {
		side = "behind"
	}
	return problem("Ory's clock is %s %s this machine's", off, side).
		breaks("sessions expire at the wrong time; with back_reference.write: create or repair an ID is written to an identity that is too old for it, or is not written").
		fix("correct the clock that is wrong, by NTP on both machines: timedatectl set-ntp true")
}

const symbolonPage = 500 // identities that a listing asks for at once

func (d *Doctor) checkPageCap(ctx context.Context) Result {
	p, err := patiently(ctx, func(ctx context.Context) (ory.Probe, error) { return d.Ory.ProbeIdentities(ctx, 1000) })
	switch {
	case err != nil:
		return unknown(askAgain, "the identities could not be listed: %s", why(err))
	case p.Status != http.StatusOK || !p.Kratos:
		return unknown(askAgain, "the identities could not be listed: Ory answers %d", p.Status)
	case p.Next == "" && p.Rows < 1000:
		return well("all %d identities fit on one page, so it is not known whether Ory caps the page size", p.Rows)
	case p.Rows >= 1000:
		return well("the page size is not capped: Symbolon asked for 1000 identities, and Ory gave %d", p.Rows)
	}
	if p.Rows >= symbolonPage {
		return well("Ory caps a page at %d identities (v25.4 and newer do), and Symbolon asks for %d%s", p.Rows, symbolonPage, pace(p.Rows, p.Limit))
	}
	return problem("Ory gives only %d identities a page, and Symbolon asks for %d%s", p.Rows, symbolonPage, pace(p.Rows, p.Limit)).
		breaks("a reconcile takes %.0f times as long as necessary, and people whose hook was lost wait longer for their user", float64(symbolonPage)/float64(max(1, p.Rows))).
		fix("let page_size=%d through to Ory's admin API: a proxy on the way to %s lowers it", symbolonPage, d.Ory.AdminURL)
}

// pace says how long a reconcile takes with this page size and rate limit.
func pace(rows, limit int) string {
	if limit == 0 {
		return ""
	}
	each := rows * limit
	return fmt.Sprintf("; at %d pages a minute (x-ratelimit-limit) a reconcile reads %d identities a minute, and a million in %s",
		limit, each, (time.Duration(1e6/float64(max(1, each))*60) * time.Second).Round(time.Minute))
}

// needPublic requires that the public API answers.
func (d *Doctor) needPublic() (Result, bool) {
	_, err := d.whoami()
	return unknownUntil("public", "the public URL does not answer"), err == nil
}

// needAdmin requires an admin API that answers.
func (d *Doctor) needAdmin() (Result, bool) {
	if !d.Ory.HasAdmin() {
		return skipped("this check needs Ory's admin API: set ory.admin_url"), false
	}
	p, err := d.admin()
	return unknownUntil("admin", "Ory's admin API does not answer as it should"), err == nil && p.Status == http.StatusOK && p.Kratos
}

// askedAMinute divided by max_stale in seconds is the number of whoami requests a minute for
// a session in constant use. An answer is renewed after three quarters of max_stale.
const askedAMinute = 80

func (d *Doctor) checkRatePlan(ctx context.Context) Result {
	p, _ := d.whoami()
	if p.Limit == 0 {
		return well("Ory announces no rate limit; a self-hosted Ory has none")
	}
	sessions, words, reason := d.sessions(ctx)
	if reason != "" {
		return unknown("give the number of sessions that are in use at the same moment: --sessions N", "%s", reason)
	}
	need := float64(sessions) * askedAMinute / d.MaxStale.Seconds()
	sum := fmt.Sprintf("a session in use causes 80 / auth.max_stale whoami a minute: %s × 80 / %.3g s = %.0f; the plan allows %d (x-ratelimit-limit)", words, d.MaxStale.Seconds(), need, p.Limit)
	if need <= float64(p.Limit) {
		return well("%s", sum)
	}
	fits := time.Duration(float64(sessions)*askedAMinute/float64(p.Limit)+1) * time.Second
	r := problem("%s", sum).breaks("when all these sessions are in use, Ory answers 429, and people whose cached answer has expired get 503")
	if fits > time.Hour {
		return r.fix("choose a plan with %.0f whoami a minute; if fewer sessions are in use at the same moment, give their number: --sessions N", need)
	}
	return r.fix("set auth.max_stale to %s (a revoked session may then be accepted for that long), or choose a plan with %.0f whoami a minute; if fewer sessions are in use at the same moment, give their number: --sessions N", fits, need)
}

// sessions is the configured number of sessions, or the counted one, up to a bound. reason says
// why they cannot be counted.
func (d *Doctor) sessions(ctx context.Context) (n int, words, reason string) {
	if d.Sessions > 0 {
		return d.Sessions, fmt.Sprintf("%d sessions in use", d.Sessions), ""
	}
	if !d.Ory.HasAdmin() {
		return 0, "", "without ory.admin_url the active sessions cannot be counted"
	}
	const pages = 20
	token := ""
	for range pages {
		p, err := patiently(ctx, func(ctx context.Context) (ory.Probe, error) { return d.Ory.ProbeActiveSessions(ctx, 500, token) })
		if err != nil || p.Status != http.StatusOK || !p.Kratos {
			return 0, "", "the active sessions could not be counted"
		}
		n += p.Rows
		if token = p.Next; token == "" {
			return n, fmt.Sprintf("%d active sessions", n), ""
		}
	}
	return n, fmt.Sprintf("at least %d active sessions", n), ""
}
