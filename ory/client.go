// Package ory asks Ory the few questions that Symbolon has: who is this session
// (whoami), what does this identity look like, which identities are there, is Ory
// itself well. It speaks to Ory Kratos from v1.1 on and to Ory Network.
//
// Its one rule is that "no" and "don't know" are different answers. ErrNotFound,
// [ErrNoSession] and [ErrAAL2Required] are Kratos' own words in Kratos' own form;
// everything else that is not a complete, plausible answer (a plain-text 404, a
// redirect, HTML, a cut body, the wrong identity, no answer at all) matches
// symbolon.ErrUnavailable. Even Kratos' own 401 is not to be believed alone: it
// says 401 to a valid session while its database is down. Package session knows
// what proves one.
//
// Answers are bounded (1 MB, a page of identities 16 MB), never decompressed, and
// redirects are never followed. What Ory sends is decoded strictly, and traits and
// metadata stay raw bytes.
package ory

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Client asks one Ory project. Set the fields before the first call and leave them
// alone afterwards; every method may then be called by many goroutines at once. It
// must not be copied. Only PublicURL is required.
type Client struct {
	// PublicURL is where Ory's public API is, as seen from here:
	// http://127.0.0.1:4433, https://slug.projects.oryapis.com. See [CheckURL].
	PublicURL string

	// AdminURL is where Ory's admin API is: http://127.0.0.1:4434; on Ory Network
	// the same as PublicURL. Without it the admin's questions are ErrNoAdmin.
	AdminURL string

	// Token goes as a Bearer token with questions to AdminURL and nowhere else: the
	// API key of an Ory Network project, or what a proxy before the admin API wants.
	Token string

	// Cookie is the name of Ory's session cookie. Defaults to "ory_kratos_session";
	// on Ory Network it is "ory_session_" and the project's slug.
	Cookie string

	// EdgeCache allows the cache at Ory Network's edge to answer. Whoami may then be
	// 150 seconds old; without it every question says Cache-Control: max-age=0.
	EdgeCache bool

	// Timeout bounds one question, its answer's body included. Defaults to 5
	// seconds; a page of identities may take six times as long.
	Timeout time.Duration

	// Load is the share of what Ory gives that questions of the background get
	// (symbolon.Background): of its rate limit where it says one, of its time
	// otherwise. More than 0, at most 1; by default [DefaultLoad], a tenth.
	Load float64

	// HTTP replaces the connection pool: for a private CA, a proxy, a test. Its cookie
	// jar and its redirect policy are ignored, since both would mix up people. By
	// default there is a pool of its own that keeps up to 128 connections open.
	HTTP *http.Client

	once     sync.Once
	bad      error // what is wrong with the fields
	http     *http.Client
	public   *url.URL
	admin    *url.URL // nil: not configured
	throttle throttle
	pace     pacer
}

var _ symbolon.Ory = (*Client)(nil)

// DefaultCookie is the session cookie of a self-hosted Kratos.
const DefaultCookie = "ory_kratos_session"

// DefaultTimeout bounds one question to Ory.
const DefaultTimeout = 5 * time.Second

// Check reports what is wrong with the fields, all of it at once. It asks nobody;
// a client with wrong fields answers every question with the same error.
func (c *Client) Check() error {
	c.once.Do(c.setup)
	return c.bad
}

// HasAdmin reports whether AdminURL is set.
func (c *Client) HasAdmin() bool { return c.AdminURL != "" }

// CookieName is the name of Ory's session cookie.
func (c *Client) CookieName() string {
	if c.Cookie == "" {
		return DefaultCookie
	}
	return c.Cookie
}

// CloseIdleConnections closes the connections that no question uses.
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
		// The admin's paths start with /admin, here and in Ory's own documents; who
		// writes it into the URL as well means the same.
		c.admin.Path = strings.TrimSuffix(c.admin.Path, "/admin")
	}
	if !isToken(c.CookieName()) {
		faults = append(faults, errors.New("ory: Cookie is not the name of a cookie"))
	}
	if !visible(c.Token) {
		faults = append(faults, errors.New("ory: Token holds spaces or control characters"))
	}
	c.http = private(c.HTTP)
	c.pace.busy = make(chan struct{}, 1)
	if len(faults) > 0 {
		c.bad = fmt.Errorf("%w: %w", errors.Join(faults...), symbolon.ErrUnavailable)
	}
}

func base(raw, field string, faults []error) (*url.URL, []error) {
	if err := CheckURL(raw); err != nil {
		return nil, append(faults, fmt.Errorf("ory: %s: %w", field, err))
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, append(faults, fmt.Errorf("ory: %s: %w", field, err))
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, faults
}

// private returns a client that shares h's connections and nothing else.
func private(h *http.Client) *http.Client {
	c := &http.Client{CheckRedirect: stay}
	if h != nil {
		c.Transport = h.Transport
		c.Timeout = h.Timeout
	}
	if c.Transport == nil {
		c.Transport = pool()
	}
	return c
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// pool is sized for a proxy that asks about every request it sees.
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
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) {
			return false
		}
	}
	return s != ""
}

// visible reports whether s is visible ASCII only.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
