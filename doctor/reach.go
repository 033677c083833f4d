package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// reach is the result of a request to a hook's URL without a key. Symbolon's own hooks
// refuse such a request with a known error and do nothing.
type reach struct {
	url      string
	symbolon bool   // the answer is Symbolon's own refusal
	status   int    // 0: no answer
	location string // of a redirect
	refused  bool   // it is certain that nothing listens there
	why      string // the reason for no answer
}

// reachAll requests every hook URL in Kratos' configuration, or else the URL that `actions
// print` would print.
func (d *Doctor) reachAll(ctx context.Context) []reach {
	var urls []string
	for _, p := range d.placed() {
		urls = append(urls, p.URL)
	}
	if len(urls) == 0 {
		urls = []string{strings.TrimSuffix(d.Actions.URL, "/") + "/hooks/link"}
	}
	slices.Sort(urls)
	var out []reach
	for _, u := range slices.Compact(urls) {
		out = append(out, d.reach(ctx, u))
	}
	return out
}

func (d *Doctor) reach(ctx context.Context, at string) reach {
	out := reach{url: at}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader("{}"))
	if err != nil {
		out.why, out.refused = "it is not a URL", true
		return out
	}
	resp, err := d.post(req)
	if err != nil {
		out.why, out.refused = noAnswer(err)
		return out
	}
	defer func() { _ = resp.Body.Close() }()
	out.status = resp.StatusCode
	if resp.StatusCode/100 == 3 {
		out.location = place(resp.Header.Get("Location"))
		return out
	}
	var body struct {
		Error struct{ Code string }
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	out.symbolon = err == nil && resp.StatusCode == http.StatusUnauthorized && json.Unmarshal(text, &body) == nil && body.Error.Code == "unauthenticated"
	return out
}

// post sends a POST to a hook's URL, and follows no redirect.
func (d *Doctor) post(req *http.Request) (*http.Response, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	if d.HTTP != nil {
		*client = *d.HTTP
	} else {
		defer client.CloseIdleConnections()
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req.Header.Set("Content-Type", "application/json")
	return client.Do(req)
}

// place is the target of a redirect, without query and credentials, which may be secret.
func place(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "an address that is not a URL"
	}
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return u.String()
}

// noAnswer returns the reason, and whether it is certain that nothing listens. Kratos may be
// able to reach a name that this machine cannot resolve, or an address that does not
// answer here.
func noAnswer(err error) (string, bool) {
	_, isName := errors.AsType[*net.DNSError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case isName:
		return "its host name cannot be resolved here", false
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there", true
	case isTimeout && timeout.Timeout():
		return "no answer in 5 seconds", false
	}
	return "the answer is not HTTP", false
}

func (d *Doctor) checkURL(_ context.Context) Result {
	var bad, unsure, good []string
	for _, r := range d.reached() {
		switch {
		case r.symbolon:
			good = append(good, host(r.url))
		case r.location != "": // the check hooks.redirect reports it
		case r.status != 0:
			bad = append(bad, fmt.Sprintf("%s answers %d, but not as Symbolon does", r.url, r.status))
		case r.refused:
			bad = append(bad, host(r.url)+": "+r.why)
		default:
			unsure = append(unsure, host(r.url)+": "+r.why)
		}
	}
	switch {
	case len(bad) > 0:
		return problem("%s", strings.Join(slices.Compact(bad), "; ")).
			breaks("the hooks are lost, and users are made at the first request only; if Kratos cannot reach Symbolon either and has the reserve hook, nobody can sign up: Kratos tries three times and gives up").
			fix("start symbolon serve; set serve.url (SYMBOLON_SERVE_URL) to the address at which Kratos reaches it, and print the hooks again by symbolon actions print")
	case len(unsure) > 0:
		return unknown("test it from Kratos: symbolon doctor --live", "%s", strings.Join(slices.Compact(unsure), "; "))
	case len(good) == 0:
		return unknownUntil("redirect", "every hook's URL redirects")
	}
	return well("Symbolon answers at %s, as this machine sees it", strings.Join(slices.Compact(good), ", "))
}

func host(at string) string {
	if u, err := url.Parse(at); err == nil {
		return u.Scheme + "://" + u.Host
	}
	return at
}

func (d *Doctor) checkRedirect(_ context.Context) Result {
	var is []string
	answered := false
	for _, r := range d.reached() {
		answered = answered || r.status != 0
		if r.location != "" {
			is = append(is, fmt.Sprintf("%s redirects (%d) to %s", r.url, r.status, r.location))
		}
	}
	if len(is) > 0 {
		return problem("%s", strings.Join(is, "; ")).
			breaks("Kratos follows a redirect (301, 302, 303) without the body and takes the answer for a success, so the hook is lost and no error appears; if the reserve hook is redirected to a page, every sign-up is refused").
			fix("set serve.url (SYMBOLON_SERVE_URL) to the address that answers without a redirect (https, if the redirect leads there), and print the hooks again by symbolon actions print; or let the proxy pass /hooks/ on without a redirect")
	}
	if !answered {
		return unknownUntil("url", "no hook's URL answers")
	}
	return well("no hook's URL redirects, as this machine sees it")
}
