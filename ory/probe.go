package ory

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// Probe is what an answer shows about Ory and the network. It contains no data of a person.
// It is for tools that examine a setup.
type Probe struct {
	Status int

	// Kratos says that the answer is an error or a page in Kratos' own format.
	Kratos bool

	// Location is the scheme and host of a redirect, or "another path".
	Location string

	// Skew is how far Ory's clock is ahead of this machine's, to about a second. It comes
	// from the header Date; Dated says that there was one.
	Skew  time.Duration
	Dated bool

	// Limit is x-ratelimit-limit: requests of this kind per minute. 0: Ory sends no limit.
	Limit int

	// Rows is how many identities or sessions a page has. Next is the token of the next page;
	// empty: there is none.
	Rows int
	Next string
}

// ProbeWhoami asks whoami without a credential. A healthy Kratos answers 401.
func (c *Client) ProbeWhoami(ctx context.Context) (Probe, error) {
	p, _, err := c.probe(ctx, question{bucket: publicHigh, path: "/sessions/whoami"})
	if err != nil {
		return Probe{}, fmt.Errorf("probe whoami: %w", err)
	}
	return p, nil
}

// ProbeIdentities asks for one page of at most size identities and counts them.
func (c *Client) ProbeIdentities(ctx context.Context, size int) (Probe, error) {
	return c.probePage(ctx, question{bucket: adminMedium, admin: true, page: true, path: "/admin/identities",
		query: url.Values{"page_size": {strconv.Itoa(size)}}})
}

// ProbeActiveSessions counts one page of active sessions. token is the Next of the previous
// page, or empty for the first page.
func (c *Client) ProbeActiveSessions(ctx context.Context, size int, token string) (Probe, error) {
	q := url.Values{"page_size": {strconv.Itoa(size)}, "active": {"true"}}
	if token != "" {
		q.Set("page_token", token)
	}
	return c.probePage(ctx, question{bucket: adminMedium, admin: true, page: true, path: "/admin/sessions", query: q})
}

// ProbeStranger asks the public URL for a page of identities without the token, as anybody
// can. If Kratos itself answers 200, the admin API is open to everybody.
func (c *Client) ProbeStranger(ctx context.Context) (Probe, error) {
	return c.probePage(ctx, question{bucket: adminMedium, path: "/admin/identities", query: url.Values{"page_size": {"1"}}})
}

func (c *Client) probePage(ctx context.Context, q question) (Probe, error) {
	p, r, err := c.probe(ctx, q)
	if err != nil {
		return Probe{}, fmt.Errorf("probe %s: %w", q.path, err)
	}
	items, ok := r.page()
	if !ok {
		return p, nil
	}
	p.Kratos, p.Rows = true, len(items)
	if links, err := parseLinks(r.header.Values("Link")); err == nil {
		if next, err := url.Parse(links["next"]); err == nil {
			p.Next = next.Query().Get("page_token")
		}
	}
	return p, nil
}

// page splits a page of a listing into its items. It returns false for any other answer.
func (r *reply) page() ([][]byte, bool) {
	if r.status != http.StatusOK || !r.isJSON() {
		return nil, false
	}
	items, err := strictjson.Array(r.body)
	return items, err == nil
}

func (c *Client) probe(ctx context.Context, q question) (Probe, *reply, error) {
	sent := time.Now()
	r, err := c.ask(ctx, q)
	if err != nil {
		return Probe{}, nil, err
	}
	middle := sent.Add(time.Since(sent) / 2)
	p := Probe{Status: r.status}
	_, _, p.Kratos = r.kratosError()
	if u, err := url.Parse(r.header.Get("Location")); err == nil && u.Host != "" {
		p.Location = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	} else if r.header.Get("Location") != "" {
		p.Location = "another path"
	}
	if date, err := http.ParseTime(r.header.Get("Date")); err == nil {
		p.Skew, p.Dated = date.Add(time.Second/2).Sub(middle), true // Date is rounded down to the second
	}
	p.Limit = limitOf(r.status, r.header).PerMinute
	return p, r, nil
}
