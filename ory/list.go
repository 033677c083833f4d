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
	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// ListOptions are the options of a listing.
type ListOptions struct {
	// PageSize is how many identities a page should have. Ory may return fewer. Defaults to
	// 500, the maximum of a newer Kratos.
	PageSize int

	// From is the ID after which the listing begins. If it is empty, the listing begins
	// with the first identity. From must have the form of an ID, but no identity needs to
	// have this ID.
	From symbolon.IdentityID
}

// Identities lists all identities over the admin API, ordered by their IDs. If it yields an
// error, it ends, and the listing is incomplete.
//
// A listing never proves that an identity is absent, because an identity that was created
// meanwhile may be before the cursor. The listing may yield an identity twice.
//
// The request for a page uses the "next" link of the previous page. The listing ends only
// when Ory says that there is no next page. A page without links is an error, and so is a
// link that leads back or to another host. At Ory's rate limit the listing waits.
//
// While one page is yielded, the next page is decoded and the page after that is requested.
// Only one request runs at a time.
func (c *Client) Identities(ctx context.Context, o ListOptions) iter.Seq2[symbolon.Identity, error] {
	return func(yield func(symbolon.Identity, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		size := min(defaults.Positive(o.PageSize, 500), 1000)
		l := lister{client: c, query: url.Values{"page_size": {strconv.Itoa(size)}}, stop: make(chan struct{}),
			fetched: make(chan fetched), pages: make(chan page)}
		if o.From != "" {
			l.query.Set("page_token", string(o.From)) // in Ory the token is the ID of the last identity before the page
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
				if !yield(i, nil) {
					return
				}
			}
			if p.last {
				return
			}
		}
	}
}

// lister fetches and decodes pages, each in a goroutine that Identities waits for. The end
// and every error are sent like a page, because a closed channel could be taken for the
// end of all identities.
type lister struct {
	client  *Client
	query   url.Values    // the query of the next page; nil: there is none
	room    int           // the size of the previous page
	stop    chan struct{} // closed when the reader has left
	fetched chan fetched
	pages   chan page
}

// fetched is a page before it is decoded, or an error.
type fetched struct {
	body  []byte
	token string // the token of the next page; empty: there is none
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

const leadsBack = "its link leads back to an earlier page"

// page decodes a page and checks that the listing does not go back. firsts are the first
// identities of all earlier pages.
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
		return page{err: unknown("a page of identities: it is empty, but another page follows")}
	case firsts[ids[0].ID]:
		return page{err: unknown("a page of identities: %s", leadsBack)}
	}
	firsts[ids[0].ID] = true
	return page{identities: ids}
}

// ask asks for the next page. At Ory's rate limit it waits, a few times at most.
func (l *lister) ask(ctx context.Context) (*reply, error) {
	for try := 1; ; try++ {
		r, err := l.client.ask(ctx, question{bucket: adminMedium, admin: true, path: "/admin/identities", query: l.query, page: true, room: l.room})
		limited, ok := errors.AsType[*RateLimited](err)
		if !ok || try > pageRetries {
			return r, err
		}
		if wait.For(ctx, limited.Reset) != nil {
			return nil, err
		}
	}
}

// nextPage returns the query of the link with rel="next", or nil if there is none. Only the
// query of the link is used, so that it cannot lead to another host or path.
func nextPage(headers []string, base *url.URL) (url.Values, error) {
	links, err := parseLinks(headers)
	if err != nil {
		return nil, err
	}
	target, ok := links["next"]
	if !ok {
		if links["first"] == "" { // every page of Kratos has a first link
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

// parseLinks returns the target of each rel in Link headers (RFC 8288). A rel with two
// targets is an error, and so is a text that is not a link.
func parseLinks(headers []string) (map[string]string, error) {
	bad := errors.New("its Link header is not readable")
	links := map[string]string{}
	rest, more := strings.Join(headers, ","), len(headers) > 0
	for more {
		rest = strings.TrimLeft(rest, " \t")
		end := strings.IndexByte(rest, '>')
		if end < 0 || rest[0] != '<' {
			return nil, bad // also after a last comma, because the header was cut off
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

// cutParams cuts at the comma that ends a link: the first comma outside quotes.
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
