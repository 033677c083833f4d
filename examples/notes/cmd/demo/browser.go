package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// browser has the features that pages without scripts need: cookies, redirects, links and
// forms.
type browser struct {
	client *http.Client
	stop   string // a redirect to this path is not followed
}

func newBrowser() *browser {
	b := &browser{}
	jar, _ := cookiejar.New(nil) // without options it does not fail
	b.client = &http.Client{Jar: jar, Timeout: 2 * time.Minute, Transport: http.DefaultTransport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case b.stop != "" && r.URL.Path == b.stop:
				return http.ErrUseLastResponse
			case len(via) > 10:
				return errors.New("it leads round in circles")
			}
			return nil
		}}
	return b
}

// page is the current page of the browser.
type page struct {
	url    *url.URL
	status int
	next   string // target of a redirect that was not followed
	text   []byte // the source
	root   *html.Node
}

// get opens a page. If the page asks to try again, get reloads it for up to a minute and
// a half.
func (b *browser) get(ctx context.Context, address string) (p *page, err error) {
	end := time.Now().Add(90 * time.Second)
	err = until(ctx, 500*time.Millisecond, func() (shown bool, err error) {
		if p, err = b.send(ctx, http.MethodGet, address, nil); err != nil {
			return false, err
		}
		return !slices.Contains(notNow, p.status) || time.Now().After(end), nil
	})
	return p, err
}

var notNow = []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

func (b *browser) send(ctx context.Context, method, address string, form url.Values) (*page, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	p := &page{url: res.Request.URL, status: res.StatusCode, text: text, root: root}
	if next, err := res.Location(); err == nil {
		p.next = next.String()
	}
	return p, nil
}

// submit fills in the form that has all these fields, and presses its first button.
func (b *browser) submit(ctx context.Context, p *page, action string, fields url.Values) (*page, error) {
	for n := range p.root.Descendants() {
		if n.Data != "form" || !strings.HasPrefix(attribute(n, "action"), action) {
			continue
		}
		if values, ok := fillIn(n, fields); ok {
			to, err := p.url.Parse(attribute(n, "action"))
			if err != nil {
				return nil, err
			}
			return b.send(ctx, strings.ToUpper(attribute(n, "method")), to.String(), values)
		}
	}
	return nil, fmt.Errorf("the page %s has no form to %q with %d fields to fill in:\n%s", p.url.Path, action, len(fields), p.words())
}

// fillIn returns all values of a form. ok is false if the form lacks one of the fields.
func fillIn(form *html.Node, fields url.Values) (values url.Values, ok bool) {
	values, left, pressed := url.Values{}, len(fields), false
	for n := range form.Descendants() {
		name := attribute(n, "name")
		switch {
		case n.Data == "input" || n.Data == "textarea":
			if typed, ok := fields[name]; ok {
				values[name] = typed
				left--
			} else if name != "" {
				values.Set(name, attribute(n, "value"))
			}
		case n.Data == "button" && name != "" && !pressed:
			values.Set(name, attribute(n, "value"))
			pressed = true
		}
	}
	return values, left == 0
}

// words returns the text of the page without markup.
func (p *page) words() string {
	var b strings.Builder
	for n := range p.root.Descendants() {
		if n.Type == html.TextNode && strings.TrimSpace(n.Data) != "" {
			b.WriteString(strings.TrimSpace(n.Data) + "\n")
		}
	}
	return b.String()
}

// shows reports whether the page contains a text.
func (p *page) shows(text string) bool { return strings.Contains(p.words(), text) }

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
