package ory

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

const first = `</admin/identities?page_size=2&page_token=00000000-0000-0000-0000-000000000000>; rel="first"`

func next(token string) string {
	return first + `,</admin/identities?page_size=2&page_token=` + token + `>; rel="next"`
}

func uuid(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }

func pageOf(ns ...int) string {
	var items []string
	for _, n := range ns {
		items = append(items, identityJSON(uuid(n)))
	}
	return "[" + strings.Join(items, ",") + "]"
}

type pageAnswer struct {
	status int
	body   string
	header []string
}

// walk lists identities from a list of pages.
func walk(t *testing.T, script ...pageAnswer) (ids []symbolon.IdentityID, asked []string, last error) {
	t.Helper()
	c := &Client{PublicURL: "http://kratos", AdminURL: "http://kratos"}
	c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) *http.Response {
		asked = append(asked, r.URL.RequestURI())
		a := script[min(len(asked), len(script))-1]
		return respond(a.status, a.body, a.header...)
	})}
	for i, err := range c.Identities(t.Context(), ListOptions{PageSize: 2}) {
		if last != nil {
			t.Fatal("the listing continued after an error")
		}
		if last = err; err == nil {
			ids = append(ids, i.ID)
		}
	}
	return ids, asked, last
}

func TestListing(t *testing.T) {
	ids, asked, err := walk(t, pageAnswer{200, pageOf(1, 2), []string{"Link", next("t1")}},
		pageAnswer{200, pageOf(3), []string{"Link", next("t2")}}, // a short page with a next link is not the last
		pageAnswer{200, pageOf(4, 5), []string{"Link", first}})   // a full page without a next link is the last
	if err != nil || len(ids) != 5 {
		t.Errorf("%v, %v", ids, err)
	}
	if want := []string{"/admin/identities?page_size=2", "/admin/identities?page_size=2&page_token=t1", "/admin/identities?page_size=2&page_token=t2"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v", asked)
	}
	if ids, _, err := walk(t, pageAnswer{200, "[]", []string{"Link", first}}); err != nil || len(ids) != 0 {
		t.Errorf("an empty Ory: %v, %v", ids, err)
	}
}

// TestHostileListings checks that an incomplete listing never ends without an error
// (INVARIANTS I10).
func TestHostileListings(t *testing.T) {
	link := func(s string) []string { return []string{"Link", s} }
	pages := map[string]pageAnswer{
		"no Link":            {200, pageOf(3), nil},
		"empty, no Link":     {200, "[]", nil},
		"null":               {200, "null", link(first)},
		"object":             {200, "{}", link(first)},
		"cut":                {200, pageOf(3, 4)[:200], link(first)},
		"cut Link":           {200, pageOf(3), link(next("t2")[:len(first)+10])},
		"Link cut at comma":  {200, pageOf(3), link(first + ",")},
		"Link is no link":    {200, pageOf(3), link("next")},
		"only prev":          {200, pageOf(3), link(`</admin/identities?page_token=x>; rel="prev"`)},
		"two nexts":          {200, pageOf(3), link(next("t2") + `,</admin/identities?page_token=x>; rel="next"`)},
		"loop":               {200, pageOf(3), link(next("t1"))},
		"same page again":    {200, pageOf(1, 2), link(next("t2"))},
		"empty with next":    {200, "[]", link(next("t2"))},
		"next without token": {200, pageOf(3), link(first + `,</admin/identities?page_size=2>; rel="next"`)},
		"next with two":      {200, pageOf(3), link(next("t2&page_token=x"))},
		"next elsewhere":     {200, pageOf(3), link(first + `,<http://evil.example/admin/identities?page_token=t2>; rel="next"`)},
		"next // elsewhere":  {200, pageOf(3), link(first + `,<//evil.example/admin/identities?page_token=t2>; rel="next"`)},
		"next with userinfo": {200, pageOf(3), link(first + `,<http://a:b@kratos/admin/identities?page_token=t2>; rel="next"`)},
		"next other scheme":  {200, pageOf(3), link(first + `,<https://kratos/admin/identities?page_token=t2>; rel="next"`)},
		"next to other path": {200, pageOf(3), link(first + `,</admin/sessions?page_token=t2>; rel="next"`)},
		"next opaque":        {200, pageOf(3), link(first + `,<mailto:x?page_token=t2>; rel="next"`)},
		"next in capitals":   {200, pageOf(3), link(first + `,</admin/identities?page_token=t1>; rel="NEXT"`)}, // rel is case-insensitive, so this is a loop
		"one bad identity":   {200, strings.Replace(pageOf(3, 4), `"state":"active"`, `"state":7`, 1), link(first)},
		"nil identity":       {200, "[" + identityJSON("00000000-0000-0000-0000-000000000000") + "]", link(first)},
		"HTML":               {200, pageOf(3), []string{"Link", first, "Content-Type", "text/html"}},
		"gzip":               {200, pageOf(3), []string{"Link", first, "Content-Encoding", "gzip"}},
		"17 MB":              {200, pageOf(3) + strings.Repeat(" ", 17<<20), link(first)},
		"401":                {401, `{"error":{"code":401}}`, nil},
		"403":                {403, `{"error":{"code":403}}`, nil},
		"404":                {404, "404 page not found\n", []string{"Content-Type", "text/plain"}},
		"500":                {500, `{"error":{"code":500}}`, nil},
		"204":                {204, "", link(first)},
		"301":                {301, "", []string{"Location", "/admin/identities?page_size=2"}},
	}
	for name, p := range pages {
		t.Run(name, func(t *testing.T) {
			ids, _, err := walk(t, pageAnswer{200, pageOf(1, 2), link(next("t1"))}, p, pageAnswer{200, pageOf(8, 9), link(first)})
			if !errors.Is(err, symbolon.ErrUnavailable) || len(ids) != 2 {
				t.Errorf("%v, %v", ids, err)
			}
		})
	}
}

func TestListingWaits(t *testing.T) {
	limited := pageAnswer{429, "", []string{"X-Ratelimit-Reset", "4"}}
	whole := pageAnswer{200, pageOf(1), []string{"Link", first}}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ids, asked, err := walk(t, limited, limited, whole)
		if err != nil || len(ids) != 1 || len(asked) != 3 || time.Since(began) < 8*time.Second {
			t.Errorf("%v, %v, %v after %s", ids, asked, err, time.Since(began))
		}
		_, asked, err = walk(t, limited)
		var e *RateLimited
		if !errors.As(err, &e) || len(asked) != pageRetries+1 {
			t.Errorf("an endless listing: %v, asked %d times", err, len(asked))
		}
	})
}

// TestListingOfOddIdentities checks that unknown keys, large traits and full pages are
// accepted. An identity that Ory repeats on the next page is yielded twice. A page that
// begins like an earlier page is a loop.
func TestListingOfOddIdentities(t *testing.T) {
	odd := func(n int, old, with string) string {
		return strings.Replace(strings.Replace(identityJSON(someID), someID, uuid(n), 1), old, with, 1)
	}
	const address = `{"value":"a@x.example","verified":true,"via":"email"}`
	ids, _, err := walk(t,
		pageAnswer{200, "[" + odd(1, `"traits":{"email":"a@x.example"}`, `"traits":null`) + "]", []string{"Link", next("t1")}},
		pageAnswer{200, "[" + odd(2, `"metadata_admin":null`, `"metadata_admin":null,"region":"eu","credentials":{"password":{"version":7}},"later":[[{}]]`) + "]", []string{"Link", next("t2")}},
		pageAnswer{200, "[" + odd(3, address, strings.Repeat(address+",", 9_999)+address) + "," + odd(4, "", "") + "]", []string{"Link", next("t3")}},
		pageAnswer{200, "[" + odd(4, `"state":"active"`, `"state":"inactive"`) + "]", []string{"Link", first}})
	var want []symbolon.IdentityID
	for _, n := range []int{1, 2, 3, 4, 4} {
		want = append(want, symbolon.IdentityID(uuid(n)))
	}
	if err != nil || !slices.Equal(ids, want) {
		t.Errorf("%v, %v", ids, err)
	}
}

// TestListingStopsWithItsReader checks that after the reader has left, no request is sent
// and no goroutine runs.
func TestListingStopsWithItsReader(t *testing.T) {
	for take := range 3 {
		synctest.Test(t, func(t *testing.T) {
			c := &Client{PublicURL: "http://kratos", AdminURL: "http://kratos"}
			var asked atomic.Int32
			c.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) *http.Response {
				n := int(asked.Add(1))
				return respond(200, pageOf(2*n, 2*n+1), "Link", next(fmt.Sprint("t", n)))
			})}
			yielded := 0
			for _, err := range c.Identities(t.Context(), ListOptions{}) {
				if err != nil {
					t.Error(err)
				}
				synctest.Wait() // until fetch and decode wait
				if yielded++; yielded > 2*take {
					break
				}
			}
			if n := int(asked.Load()); n != take+3 { // a page that is read, one that is decoded, one that is fetched
				t.Errorf("asked %d times for %d pages", n, take+1)
			}
		})
	}
	for _, err := range (&Client{PublicURL: "http://kratos"}).Identities(t.Context(), ListOptions{}) {
		if !errors.Is(err, symbolon.ErrNoAdmin) {
			t.Error(err)
		}
	}
}

// TestListingFrom checks that a listing begins after the given ID and ends when its
// caller stops.
func TestListingFrom(t *testing.T) {
	var asked []string
	c := &Client{PublicURL: "http://kratos", AdminURL: "http://kratos", HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) *http.Response {
		asked = append(asked, r.URL.Query().Get("page_token"))
		if r.URL.Query().Get("page_token") == uuid(3) {
			return respond(200, pageOf(4, 5), "Link", next("t2"))
		}
		return respond(200, pageOf(6, 8), "Link", next("t3"+r.URL.Query().Get("page_token")))
	})}}
	var ids []symbolon.IdentityID
	for i, err := range c.Identities(t.Context(), ListOptions{From: symbolon.IdentityID(uuid(3))}) {
		if err != nil {
			t.Fatal(err)
		}
		if ids = append(ids, i.ID); len(ids) == 3 {
			break
		}
	}
	if len(ids) != 3 || ids[0] != symbolon.IdentityID(uuid(4)) || ids[2] != symbolon.IdentityID(uuid(6)) {
		t.Errorf("%v", ids)
	}
	if asked[0] != uuid(3) || len(asked) > 4 {
		t.Errorf("the listing began after %v", asked)
	}
}
