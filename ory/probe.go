package ory

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// Probe is an answer as such: what it says of Ory and of the way there, and nothing of
// a person. It is for tools that examine a setup.
type Probe struct {
	Status int

	// Kratos says that the answer has Kratos' own form, of an error or of a page.
	Kratos bool

	// Location is where a redirect leads, scheme and host only, or "another path".
	Location string

	// Skew is how far Ory's clock is ahead of this machine's, to about a second, going by
	// the header Date. Dated says that there was one.
	Skew  time.Duration
	Dated bool

	// Limit is x-ratelimit-limit, questions of this kind in a minute; 0: none is told.
	Limit int

	// Rows is how many identities or sessions a page has, Next the token of the page that
	// follows; empty: none does.
	Rows int
	Next string
}

// ProbeWhoami asks whoami without a credential. A Kratos that is well says 401.
func (c *Client) ProbeWhoami(ctx context.Context) (Probe, error) {
	p, _, err := c.probe(ctx, question{bucket: publicHigh, path: "/sessions/whoami"})
	if err != nil {
		return Probe{}, fmt.Errorf("probe whoami: %w", err)
	}
	return p, nil
}

// ProbeIdentities asks for one page of identities, of size at most, and counts them.
func (c *Client) ProbeIdentities(ctx context.Context, size int) (Probe, error) {
	return c.probePage(ctx, question{bucket: adminMedium, admin: true, page: true, path: "/admin/identities",
		query: url.Values{"page_size": {strconv.Itoa(size)}}})
}

// ProbeActiveSessions counts one page of active sessions; token is Next of the page
// before, and empty for the first one.
func (c *Client) ProbeActiveSessions(ctx context.Context, size int, token string) (Probe, error) {
	q := url.Values{"page_size": {strconv.Itoa(size)}, "active": {"true"}}
	if token != "" {
		q.Set("page_token", token)
	}
	return c.probePage(ctx, question{bucket: adminMedium, admin: true, page: true, path: "/admin/sessions", query: q})
}

// ProbeStranger asks the public URL for a page of identities, without the token: what
// any stranger can do. Kratos with a status of 200 is an admin API that is open to all.
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

// page parts a page of a listing, if the answer is one.
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
	_, p.Kratos = r.kratosError(&Error{kind: symbolon.ErrUnavailable})
	if u, err := url.Parse(r.header.Get("Location")); err == nil && u.Host != "" {
		p.Location = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	} else if r.header.Get("Location") != "" {
		p.Location = "another path"
	}
	if date, err := http.ParseTime(r.header.Get("Date")); err == nil {
		p.Skew, p.Dated = date.Add(time.Second/2).Sub(middle), true // Date is cut to the second
	}
	if n, err := strconv.Atoi(r.header.Get("X-Ratelimit-Limit")); err == nil && n > 0 {
		p.Limit = n
	}
	return p, r, nil
}
