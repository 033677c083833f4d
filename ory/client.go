// Package ory is a client for the few requests to Ory that Symbolon needs: whose session
// this is (whoami), one identity, the list of identities, and whether Ory is ready. It
// works with Ory Kratos from v1.1 on and with Ory Network.
//
// A denial and "don't know" are different errors. symbolon.ErrNotFound, [ErrNoSession] and
// [ErrAAL2Required] mean that Kratos itself answered so, in its own format. Everything else
// that is not a complete, plausible answer matches symbolon.ErrUnavailable: a plain-text
// 404, a redirect, HTML, a cut body, the wrong identity, no answer at all.
//
// Danger: even Kratos' own 401 proves nothing by itself, because Kratos answers 401 to a
// valid session while its database is down. Package session checks whether a 401 is true.
//
// The size of answers is limited (1 MB, a page of identities 16 MB), and they are never
// decompressed. Redirects are never followed. Answers are decoded strictly; traits and
// metadata stay raw bytes.
package ory

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/ascii"
	"github.com/symbolon-id/symbolon/internal/outbound"
)

// Client asks one Ory project. Set the fields before the first call and do not change them
// afterwards. Every method may then be called by many goroutines at once. A Client must not
// be copied. Only PublicURL is required.
type Client struct {
	// PublicURL is the address of Ory's public API as this program sees it:
	// http://127.0.0.1:4433, https://slug.projects.oryapis.com. See [CheckURL].
	PublicURL string

	// AdminURL is the address of Ory's admin API: http://127.0.0.1:4434. On Ory Network it
	// is the same as PublicURL. Without it the methods that need the admin API return
	// ErrNoAdmin.
	AdminURL string

	// Token is the Bearer token of requests to AdminURL, and is sent nowhere else. It is
	// the API key of an Ory Network project, or a token that a proxy in front of the admin
	// API requires.
	Token string

	// Cookie is the name of Ory's session cookie. Defaults to "ory_kratos_session";
	// on Ory Network it is "ory_session_" followed by the project's slug.
	Cookie string

	// EdgeCache allows the cache at Ory Network's edge to answer. An answer of whoami may
	// then be 150 seconds old. By default every request has Cache-Control: max-age=0.
	EdgeCache bool

	// Timeout limits one request, including the body of the answer. Defaults to 5 seconds;
	// a page of identities may take six times as long.
	Timeout time.Duration

	// Load is the share of Ory's rate limit that background requests (symbolon.Background)
	// may use. If Ory reports no rate limit, Load is the share of the time in which a
	// background request may be under way. It is more than 0 and at most 1. Defaults to
	// [DefaultLoad], a tenth.
	Load float64

	// HTTP replaces the connection pool, for a private CA, a proxy or a test. Its cookie
	// jar and its redirect policy are ignored, because both could mix up the sessions of
	// people. By default the client has its own pool, which keeps up to 128 connections
	// open.
	HTTP *http.Client

	once     sync.Once
	bad      error // the errors in the fields
	http     *http.Client
	public   *url.URL
	admin    *url.URL // nil: not configured
	throttle throttle
	pace     pacer
}

var _ symbolon.Ory = (*Client)(nil)

// DefaultCookie is the session cookie of a self-hosted Kratos.
const DefaultCookie = "ory_kratos_session"

// DefaultTimeout is the default of [Client.Timeout].
const DefaultTimeout = 5 * time.Second

// Check reports all errors in the fields at once. It makes no request. A client with wrong
// fields returns this error from every request.
func (c *Client) Check() error {
	c.once.Do(c.setup)
	return c.bad
}

// HasAdmin reports whether AdminURL is set.
func (c *Client) HasAdmin() bool { return c.AdminURL != "" }

// CookieName is the name of Ory's session cookie.
func (c *Client) CookieName() string { return cmp.Or(c.Cookie, DefaultCookie) }

// CloseIdleConnections closes the connections that no request uses.
func (c *Client) CloseIdleConnections() {
	c.once.Do(c.setup)
	c.http.CloseIdleConnections()
}

func (c *Client) setup() {
	var faults []error
	c.public, faults = base(c.PublicURL, "PublicURL", faults)
	if c.AdminURL != "" {
		c.admin, faults = base(c.AdminURL, "AdminURL", faults)
	}
	if c.admin != nil {
		// The paths of the admin API start with /admin. So AdminURL may be written with or
		// without /admin.
		c.admin.Path = strings.TrimSuffix(c.admin.Path, "/admin")
	}
	if !isToken(c.CookieName()) {
		faults = append(faults, errors.New("ory: Cookie is not the name of a cookie"))
	}
	if !ascii.Visible(c.Token) {
		faults = append(faults, errors.New("ory: Token holds spaces or control characters"))
	}
	c.http = outbound.Client(c.HTTP, pool())
	c.pace.busy = make(chan struct{}, 1)
	if len(faults) > 0 {
		c.bad = fmt.Errorf("%w: %w", errors.Join(faults...), symbolon.ErrUnavailable)
	}
}

func base(raw, field string, faults []error) (*url.URL, []error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, append(faults, fmt.Errorf("ory: %s: %w", field, err))
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, faults
}

// pool is large enough for a program that asks Ory about every request that it gets.
func pool() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    128,
		MaxConnsPerHost:        256,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    DefaultTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

// isToken reports whether s is a token of RFC 9110, as a cookie's name must be.
func isToken(s string) bool {
	return s != "" && ascii.Visible(s) && !strings.ContainsAny(s, `()<>@,;:\"/[]?={}`)
}
