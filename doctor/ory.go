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

// patiently asks again if Ory limits the rate, for a few minutes at most.
func patiently[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		v, err := ask()
		var limited *ory.RateLimited
		if !errors.As(err, &limited) || try == 5 {
			return v, err
		}
		if wait.For(ctx, limited.Reset) != nil {
			return v, err
		}
	}
}

// unasked reports whether an error says nothing about Ory, because the examination ended or
// Ory limits the rate.
func unasked(ctx context.Context, err error) bool {
	var limited *ory.RateLimited
	return ctx.Err() != nil || errors.As(err, &limited)
}

const askAgain = "run it again in a minute"

func (d *Doctor) checkPublic(ctx context.Context) Result {
	const nobody = "nobody is let in: Symbolon asks there for the session of every request, and answers 503"
	const where = "start Ory, or set ory.public_url (SYMBOLON_ORY_PUBLIC_URL) to Ory's public API as this machine sees it"
	p, err := d.whoami()
	switch {
	case err != nil && unasked(ctx, err):
		return unknown(askAgain, "%s could not be asked: %s", d.Ory.PublicURL, why(err))
	case err != nil:
		return problem("%s: %s", d.Ory.PublicURL, why(err)).breaks(nobody).fix(where)
	case p.Status == http.StatusUnauthorized && p.Kratos:
		return well("Ory answers at %s", d.Ory.PublicURL)
	case p.Status/100 == 3:
		return problem("%s answers %d: it sends to %s", d.Ory.PublicURL, p.Status, p.Location).breaks(nobody).
			fix("set ory.public_url to what answers by itself: Ory's admin port, for one, sends such questions to its public port")
	}
	return problem("%s answers %d, and not as Ory's public API does", d.Ory.PublicURL, p.Status).breaks(nobody).fix(where)
}

func (d *Doctor) checkAdmin(ctx context.Context) Result {
	const breaks = "no hook re-reads its identity, no ID is written to Ory, and reconcile, bind and a proof that somebody is gone fail; people with a user are let in"
	const where = "start Ory, or set ory.admin_url (SYMBOLON_ORY_ADMIN_URL) to Ory's admin API as this machine sees it"
	if !d.Ory.HasAdmin() {
		return skipped("ory.admin_url is not set: nothing is re-read, no ID is written to Ory, and reconcile, bind and --live cannot run")
	}
	p, err := d.admin()
	switch {
	case err != nil && unasked(ctx, err):
		return unknown(askAgain, "%s could not be asked: %s", d.Ory.AdminURL, why(err))
	case err != nil:
		return problem("%s: %s", d.Ory.AdminURL, why(err)).breaks(breaks).fix(where)
	case p.Status == http.StatusOK && p.Kratos:
		return well("Ory's admin API answers at %s", d.Ory.AdminURL)
	case p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden:
		return problem("%s refuses the token with %d", d.Ory.AdminURL, p.Status).breaks(breaks).
			fix("set ory.token (SYMBOLON_ORY_TOKEN) to an API key of this Ory project")
	case p.Kratos && p.Status >= 500:
		return problem("%s answers %d: Ory itself is not well, its database perhaps", d.Ory.AdminURL, p.Status).breaks(breaks).
			fix("read Ory's log; `curl %s/admin/health/ready` must say ok", d.Ory.AdminURL)
	case p.Status/100 == 3:
		return problem("%s answers %d: it sends to %s", d.Ory.AdminURL, p.Status, p.Location).breaks(breaks).
			fix("set ory.admin_url to what answers by itself: Ory's public port, for one, sends such questions to its admin port")
	}
	return problem("%s answers %d, and not as Ory's admin API does", d.Ory.AdminURL, p.Status).breaks(breaks).fix(where)
}

func (d *Doctor) checkAdminOpen(ctx context.Context) Result {
	if _, err := d.whoami(); err != nil {
		return unknown("fix ory.public first", "the public URL does not answer")
	}
	p, err := patiently(ctx, func() (ory.Probe, error) { return d.Ory.ProbeStranger(ctx) })
	switch {
	case err != nil:
		return unknown(askAgain, "%s could not be asked: %s", d.Ory.PublicURL, why(err))
	case p.Status == http.StatusOK && p.Kratos:
		return problem("%s/admin/identities lists people to anybody, without a key", d.Ory.PublicURL).
			breaks("anybody who reaches the public URL reads, changes and deletes every identity, and takes over every account").
			fix("now: stop the proxy from passing /admin on to Ory's admin port, and publish Ory's public port (4433) only; then find out in its log who asked")
	}
	return well("strangers are refused at %s/admin", d.Ory.PublicURL)
}

// maxSkew is the largest clock difference that the rules about new identities tolerate.
const maxSkew = 30 * time.Second

func (d *Doctor) checkClock(_ context.Context) Result {
	p, err := d.whoami()
	if err != nil {
		return unknown("fix ory.public first", "the public URL does not answer")
	}
	if !p.Dated {
		return unknown("let the proxy before Ory pass the header Date on", "Ory's answers have no date")
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
		breaks("new identities look older or younger than they are: IDs are not written to Ory although they may be, or are although they may not; sessions end at the wrong time").
		fix("set the clock that is wrong, on both machines by NTP: timedatectl set-ntp true")
}

const symbolonPage = 500 // identities that a listing asks for at once

func (d *Doctor) checkPageCap(ctx context.Context) Result {
	if r, ok := d.needAdmin(); !ok {
		return r
	}
	p, err := patiently(ctx, func() (ory.Probe, error) { return d.Ory.ProbeIdentities(ctx, 1000) })
	switch {
	case err != nil:
		return unknown(askAgain, "the identities could not be listed: %s", why(err))
	case p.Status != http.StatusOK || !p.Kratos:
		return unknown(askAgain, "the identities could not be listed: Ory answers %d", p.Status)
	case p.Next == "" && p.Rows < 1000:
		return well("all %d identities come on one page; whether Ory caps pages shows when there are more", p.Rows)
	case p.Rows >= 1000:
		return well("pages are not capped: asked for 1000 identities, Ory gives %d", p.Rows)
	}
	if p.Rows >= symbolonPage {
		return well("Ory caps a page at %d identities (v25.4 and newer do), and Symbolon asks for %d%s", p.Rows, symbolonPage, pace(p.Rows, p.Limit))
	}
	return problem("Ory gives only %d identities a page, and Symbolon asks for %d%s", p.Rows, symbolonPage, pace(p.Rows, p.Limit)).
		breaks("a reconcile takes %.0f times as long as it needs to, and so long wait the people of whom no hook told", float64(symbolonPage)/float64(max(1, p.Rows))).
		fix("let page_size=%d through to Ory's admin API: a proxy on the way to %s lowers it", symbolonPage, d.Ory.AdminURL)
}

// pace says how long a reconcile takes with this page size and rate limit.
func pace(rows, limit int) string {
	if limit == 0 {
		return ""
	}
	each := rows * limit
	return fmt.Sprintf("; at %d pages a minute (x-ratelimit-limit) a reconcile reads %d identities a minute, a million in %s",
		limit, each, (time.Duration(1e6/float64(max(1, each))*60) * time.Second).Round(time.Minute))
}

// needAdmin returns false and a result if the admin API is missing or does not answer.
func (d *Doctor) needAdmin() (Result, bool) {
	if !d.Ory.HasAdmin() {
		return skipped("it needs Ory's admin API: set ory.admin_url"), false
	}
	if p, err := d.admin(); err != nil || p.Status != http.StatusOK || !p.Kratos {
		return unknown("fix ory.admin first", "Ory's admin API does not answer as it should"), false
	}
	return Result{}, true
}

// askedAMinute divided by max_stale in seconds is the number of whoami requests a minute for
// a session in constant use. An answer is renewed after three quarters of its life.
const askedAMinute = 80

func (d *Doctor) checkRatePlan(ctx context.Context) Result {
	p, err := d.whoami()
	if err != nil {
		return unknown("fix ory.public first", "the public URL does not answer")
	}
	if p.Limit == 0 {
		return well("Ory announces no rate limit; a self-hosted Ory has none")
	}
	sessions, words, bad := d.sessions(ctx)
	if bad != nil {
		return *bad
	}
	need := float64(sessions) * askedAMinute / d.MaxStale.Seconds()
	sum := fmt.Sprintf("%s × 80 / %.3g s (auth.max_stale) = %.0f whoami a minute; the plan allows %d (x-ratelimit-limit)", words, d.MaxStale.Seconds(), need, p.Limit)
	if need <= float64(p.Limit) {
		return well("%s", sum)
	}
	fits := time.Duration(float64(sessions)*askedAMinute/float64(p.Limit)+1) * time.Second
	r := problem("%s", sum).breaks("when all of them are in use Ory answers 429, and people whose last answer has run out get 503")
	if fits > time.Hour {
		return r.fix("take a plan of %.0f whoami a minute; if fewer sessions are in use at the same moment, say how many: --sessions N", need)
	}
	return r.fix("set auth.max_stale to %s (so long a revoked session may still be let in), or take a plan of %.0f whoami a minute; if fewer sessions are in use at the same moment, say how many: --sessions N", fits, need)
}

// sessions is the configured number of sessions, or the counted one, up to a bound.
func (d *Doctor) sessions(ctx context.Context) (n int, words string, bad *Result) {
	if d.Sessions > 0 {
		return d.Sessions, fmt.Sprintf("%d sessions in use", d.Sessions), nil
	}
	const say = "say how many sessions are in use at the same moment: --sessions N"
	if !d.Ory.HasAdmin() {
		r := unknown(say, "without ory.admin_url the active sessions cannot be counted")
		return 0, "", &r
	}
	const pages = 20
	token := ""
	for range pages {
		p, err := patiently(ctx, func() (ory.Probe, error) { return d.Ory.ProbeActiveSessions(ctx, 500, token) })
		if err != nil || p.Status != http.StatusOK || !p.Kratos {
			r := unknown(say, "the active sessions could not be counted")
			return 0, "", &r
		}
		n += p.Rows
		if token = p.Next; token == "" {
			return n, fmt.Sprintf("%d active sessions", n), nil
		}
	}
	return n, fmt.Sprintf("at least %d active sessions", n), nil
}
