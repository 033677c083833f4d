package ory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
)

// ListOptions qualify a listing.
type ListOptions struct {
	// PageSize is how many identities are asked for at once. Defaults to 500, the
	// most that a newer Kratos gives; it may always give fewer.
	PageSize int

	// From and To are a stretch of the key space: the identities whose IDs come behind
	// From, up to and including To. Empty: from the first, to the last one. Neither has
	// to be an identity's ID, but each must have the form of one.
	From, To symbolon.IdentityID
}

// Identities lists all identities over the admin API, ordered by their IDs. After
// an error, which is the last thing it yields, the listing is incomplete: what did
// not come is not proved to be absent. Nor is it after a whole one: identities made
// meanwhile may lie behind the cursor, and one may come twice.
//
// A page follows only from the "next" link of the one before, and the listing ends
// only where Ory says so; a page without links is an error, as is a link that leads
// back or to another host. When Ory limits the rate, it waits.
func (c *Client) Identities(ctx context.Context, o ListOptions) iter.Seq2[symbolon.Identity, error] {
	return func(yield func(symbolon.Identity, error) bool) {
		l := lister{client: c, tokens: map[string]bool{}, firsts: map[symbolon.IdentityID]bool{}}
		l.query = url.Values{"page_size": {strconv.Itoa(pageSize(o))}}
		if o.From != "" {
			l.query.Set("page_token", string(o.From)) // which is the ID of the last one before the page
			l.tokens[string(o.From)] = true
		}
		for l.query != nil {
			page, err := l.next(ctx)
			if err != nil {
				yield(symbolon.Identity{}, fmt.Errorf("list identities: %w", err))
				return
			}
			for _, i := range page {
				if o.To != "" && i.ID > o.To || !yield(i, nil) {
					return
				}
			}
		}
	}
}

func pageSize(o ListOptions) int {
	if o.PageSize <= 0 {
		return 500
	}
	return min(o.PageSize, 1000)
}

type lister struct {
	client *Client
	query  url.Values // of the next page; nil: there is none
	tokens map[string]bool
	firsts map[symbolon.IdentityID]bool
}

func (l *lister) next(ctx context.Context) ([]symbolon.Identity, error) {
	r, err := l.ask(ctx)
	if err != nil {
		return nil, err
	}
	body, err := r.json()
	if err != nil {
		return nil, err
	}
	page, err := identities(body)
	if err != nil {
		return nil, unknown("a page of identities: %s", err.Error())
	}
	if err := l.turn(page, r.header.Values("Link")); err != nil {
		return nil, unknown("a page of identities: %s", err.Error())
	}
	return page, nil
}

// ask waits while Ory limits the rate, but not for ever.
func (l *lister) ask(ctx context.Context) (*reply, error) {
	for try := 1; ; try++ {
		r, err := l.client.ask(ctx, question{bucket: adminMedium, admin: true, path: "/admin/identities", query: l.query, page: true})
		var limited *RateLimited
		if !errors.As(err, &limited) || try > pageRetries {
			return r, err
		}
		t := time.NewTimer(limited.Reset)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, err
		}
	}
}

// turn finds the query of the page that follows.
func (l *lister) turn(page []symbolon.Identity, links []string) error {
	next, err := nextPage(links, l.client.admin)
	if err != nil {
		return err
	}
	l.query = next
	if next == nil {
		return nil
	}
	token := next.Get("page_token")
	if len(page) == 0 {
		return errors.New("it is empty and says that more follows")
	}
	if l.tokens[token] || l.firsts[page[0].ID] {
		return errors.New("its link leads back to a page that was read already")
	}
	l.tokens[token], l.firsts[page[0].ID] = true, true
	return nil
}

func identities(body []byte) ([]symbolon.Identity, error) {
	if err := valid(body); err != nil {
		return nil, err
	}
	items, err := array(body)
	if err != nil || isNull(body) {
		return nil, errors.New("it is not a list")
	}
	page := make([]symbolon.Identity, len(items))
	for n, item := range items {
		if page[n], err = identity(item); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// nextPage returns the query of the link with rel="next", or nil where the links
// end. Of the link only the query is used, so that it leads nowhere else, even if
// Ory stands behind a path of its own.
func nextPage(headers []string, base *url.URL) (url.Values, error) {
	links, err := parseLinks(headers)
	if err != nil {
		return nil, err
	}
	target, ok := links["next"]
	if !ok {
		if links["first"] == "" { // which every page of Kratos has
			return nil, errors.New("it has no links: whether more follows is unknown")
		}
		return nil, nil
	}
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Opaque != "" || u.User != nil || u.Scheme != "" && u.Host == "":
		return nil, errors.New("its next link is not a URL")
	case u.Host != "" && (u.Host != base.Host || u.Scheme != "" && u.Scheme != base.Scheme):
		return nil, errors.New("its next link leads to another host")
	case !strings.HasSuffix(u.EscapedPath(), "/identities"):
		return nil, errors.New("its next link leads to another path")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(q["page_token"]) != 1 || q.Get("page_token") == "" || len(u.RawQuery) > 4096 {
		return nil, errors.New("its next link has no page token")
	}
	next := url.Values{"page_token": q["page_token"]}
	if size := q["page_size"]; len(size) == 1 {
		next["page_size"] = size
	}
	return next, nil
}

// parseLinks reads Link headers (RFC 8288) as far as listings use them: the target
// of each relation. A relation with two targets, or anything that is not a link,
// is an error.
func parseLinks(headers []string) (map[string]string, error) {
	bad := errors.New("its Link header is not readable")
	links := map[string]string{}
	rest, more := strings.Join(headers, ","), len(headers) > 0
	for more {
		rest = strings.TrimLeft(rest, " \t")
		end := strings.IndexByte(rest, '>')
		if end < 0 || rest[0] != '<' {
			return nil, bad // also after a last comma: something was cut off
		}
		target := rest[1:end]
		var params string
		params, rest, more = cutParams(rest[end+1:])
		for rel := range strings.FieldsSeq(strings.ToLower(relOf(params))) {
			if other, twice := links[rel]; twice && other != target {
				return nil, bad
			}
			links[rel] = target
		}
	}
	return links, nil
}

// cutParams cuts at the comma that ends a link, which is one outside quotes.
func cutParams(s string) (params, rest string, more bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// relOf returns the first rel parameter, as the RFC says.
func relOf(params string) string {
	for p := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(p, "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "rel") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}
