package ory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
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
//
// While a page is yielded the next one is decoded and the one behind it asked for: no
// more than these, and never two questions at once.
func (c *Client) Identities(ctx context.Context, o ListOptions) iter.Seq2[symbolon.Identity, error] {
	return func(yield func(symbolon.Identity, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		l := lister{client: c, query: url.Values{"page_size": {strconv.Itoa(pageSize(o))}}, stop: make(chan struct{}),
			fetched: make(chan fetched), pages: make(chan page)}
		if o.From != "" {
			l.query.Set("page_token", string(o.From)) // which is the ID of the last one before the page
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		defer close(l.stop)
		wg.Go(func() { l.fetch(ctx) })
		wg.Go(l.decode)
		for {
			p := <-l.pages
			if p.err != nil {
				yield(symbolon.Identity{}, fmt.Errorf("list identities: %w", p.err))
				return
			}
			for _, i := range p.identities {
				if o.To != "" && i.ID > o.To || !yield(i, nil) {
					return
				}
			}
			if p.last {
				return
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

// lister fetches and decodes, each in a goroutine of its own. What ends a listing, be
// it an error, is handed on like every page: a channel that is closed could be taken
// for the end of all identities.
type lister struct {
	client  *Client
	query   url.Values    // of the next page; nil: there is none
	room    int           // how large the page before was
	stop    chan struct{} // closed when nobody wants more
	fetched chan fetched
	pages   chan page
}

// fetched is a page as it came, or what came instead.
type fetched struct {
	body  []byte
	token string // of the page that follows; empty: none does
	err   error
}

type page struct {
	identities []symbolon.Identity
	last       bool
	err        error
}

func (l *lister) fetch(ctx context.Context) {
	tokens := map[string]bool{l.query.Get("page_token"): true}
	for {
		f := l.next(ctx)
		if f.err == nil && f.token != "" && tokens[f.token] {
			f.err = unknown("a page of identities: %s", leadsBack)
		}
		tokens[f.token] = true
		select {
		case l.fetched <- f:
		case <-l.stop:
			return
		}
		if f.err != nil || f.token == "" {
			return
		}
	}
}

func (l *lister) next(ctx context.Context) (f fetched) {
	r, err := l.ask(ctx)
	if err != nil {
		return fetched{err: err}
	}
	if f.body, err = r.json(); err != nil {
		return fetched{err: err}
	}
	l.room = len(f.body)
	if l.query, err = nextPage(r.header.Values("Link"), l.client.admin); err != nil {
		return fetched{err: unknown("a page of identities: %s", err.Error())}
	}
	f.token = l.query.Get("page_token")
	return f
}

func (l *lister) decode() {
	firsts := map[symbolon.IdentityID]bool{}
	for {
		var p page
		select {
		case f := <-l.fetched:
			p = f.page(firsts)
		case <-l.stop:
			return
		}
		select {
		case l.pages <- p:
		case <-l.stop:
			return
		}
		if p.err != nil || p.last {
			return
		}
	}
}

const leadsBack = "its link leads back to a page that was read already"

// page decodes what was fetched and judges what is said to follow. firsts are the
// identities that the pages before began with.
func (f fetched) page(firsts map[symbolon.IdentityID]bool) page {
	if f.err != nil {
		return page{err: f.err}
	}
	ids, err := identities(f.body)
	switch {
	case err != nil:
		return page{err: unknown("a page of identities: %s", err.Error())}
	case f.token == "":
		return page{identities: ids, last: true}
	case len(ids) == 0:
		return page{err: unknown("a page of identities: it is empty and says that more follows")}
	case firsts[ids[0].ID]:
		return page{err: unknown("a page of identities: %s", leadsBack)}
	}
	firsts[ids[0].ID] = true
	return page{identities: ids}
}

// ask waits while Ory limits the rate, but not for ever.
func (l *lister) ask(ctx context.Context) (*reply, error) {
	for try := 1; ; try++ {
		r, err := l.client.ask(ctx, question{bucket: adminMedium, admin: true, path: "/admin/identities", query: l.query, page: true, room: l.room})
		var limited *RateLimited
		if !errors.As(err, &limited) || try > pageRetries {
			return r, err
		}
		if wait.For(ctx, limited.Reset) != nil {
			return nil, err
		}
	}
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
