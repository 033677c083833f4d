// Package createurl has the application make its own user: in a table that Symbolon
// must not write or cannot reach, because it is MySQL, Mongo, or behind an ORM. The
// contract is one signed, idempotent POST, which docs/create-url.md tells to the
// authors of applications in any language:
//
//	POST /internal/users
//	webhook-id: create_…               the same for every try
//	webhook-timestamp: 1764000000      of this try
//	webhook-signature: v1,…            Standard Webhooks
//
//	{"identity_id": "…", "columns": {"email": "ada@example.com"}}
//
//	200, 201   {"id": "42"}     the user, new or not
//	409        {"id": "42"}     the user, who existed
//	408, 425, 429, 5xx          not now: asked again by whatever comes next
//	any other 4xx               no: finding cannot_create
//
// "Not now" is also what everything means that is none of these: no answer in time,
// a redirect, a body without one plausible ID. Answers are bounded (64 kB) and never
// decompressed. [Client] is a [symbolon.Creator]; it belongs to a Linker whose store
// has NewID [symbolon.ByApplication].
package createurl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/flight"
	"github.com/symbolon-id/symbolon/projection"
)

// Client asks one application. Set the fields before the first call and leave them
// alone afterwards; every method may then be called by many goroutines at once. URL
// and Secrets are required.
type Client struct {
	// URL is where the application makes users. Plain http is for loopback and private
	// addresses only; see [CheckURL].
	URL string

	// Secrets sign each POST: one, or two while it is changed, since an application
	// that knows either accepts both signatures. Of the form "whsec_" and base64 of 24
	// to 64 bytes; [DeriveSecrets] makes them.
	Secrets []string

	// Project as the Linker has it: a part of webhook-id. Defaults to "default".
	Project string

	// Columns says what the POST tells of the person, by names that are free, and is
	// read by [projection.Parse]. What leads to nothing, or to a text that no
	// database could hold, is null.
	Columns map[string]string

	// Timeout bounds one question, the wait for its turn and the answer's body
	// included. Defaults to 5 seconds.
	Timeout time.Duration

	// Concurrency is how many questions may be under way at once. For one identity it
	// is always one: who else asks for it waits for the same answer. Defaults to 16.
	Concurrency int

	// Patience is how long a no is believed while the question stays the same, so that
	// a person who tries again and again does not become a load. Defaults to 10
	// seconds; negative: not at all.
	Patience time.Duration

	// HTTP replaces the connection pool: for a private CA or a proxy. Its cookie jar and
	// its redirect policy are ignored. The addresses that it connects to are then its
	// own affair.
	HTTP *http.Client

	// Observe, if set, is told of every answer; outcomes are from a small fixed set.
	Observe func(outcome string)

	once        sync.Once
	bad         error // what is wrong with the fields
	http        *http.Client
	projections []projection.Projection
	signers     []*standardwebhooks.Webhook
	calls       flight.Group[symbolon.IdentityID, symbolon.UserID]
	turns       chan struct{} // a place for each question under way
	denials     denials
	rest        rest
}

var _ symbolon.Creator = (*Client)(nil)

// Outcomes as Observe is told them.
const (
	Created = "created" // 200, 201
	Existed = "existed" // 409
	Refused = "refused" // another 4xx
	Limited = "limited" // 429, and what was not asked because of one
	Failed  = "failed"  // everything else
)

// Check reports what is wrong with the fields, all of it at once. It asks nobody.
func (c *Client) Check() error {
	c.once.Do(c.setup)
	return c.bad
}

func (c *Client) setup() {
	var faults []error
	plain, err := parseURL(c.URL)
	if err != nil {
		faults = append(faults, fmt.Errorf("createurl: URL: %w", err))
	}
	if n := len(c.Secrets); n == 0 || n > 2 {
		faults = append(faults, fmt.Errorf("createurl: there are %d secrets: give one, or two while it is changed", n))
	}
	for i, s := range c.Secrets {
		signer, err := signer(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("createurl: secret %d: %w", i+1, err))
		}
		c.signers = append(c.signers, signer)
	}
	projections, bad := projection.ParseAll(c.Columns)
	c.projections, faults = projections, append(faults, bad...)
	c.bad = errors.Join(faults...)

	c.calls.Timeout = c.timeout()
	c.turns = make(chan struct{}, c.concurrency())
	c.http = &http.Client{CheckRedirect: stay, Transport: pool(c.concurrency(), plain)}
	if c.HTTP != nil {
		c.http.Timeout = c.HTTP.Timeout
		if c.HTTP.Transport != nil {
			c.http.Transport = c.HTTP.Transport
		}
	}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Create returns the application's user for the identity. An error that matches
// symbolon.ErrCannotCreate is the application's no, a *[Refusal]; every other matches
// symbolon.ErrUnavailable, unless the fields are wrong. None of them repeats what was
// sent or received.
func (c *Client) Create(ctx context.Context, id symbolon.Identity) (symbolon.UserID, error) {
	if err := c.Check(); err != nil {
		return "", err
	}
	q, err := c.question(id)
	if err != nil {
		return "", err
	}
	if err := c.denials.of(q); err != nil {
		return "", err
	}
	user, err := c.calls.Join(ctx, q.identity, func(ctx context.Context) (symbolon.UserID, error) { return c.askInTurn(ctx, q) })
	if errors.Is(err, flight.ErrNoResult) {
		return "", unknown("%w", err)
	}
	return user, err
}

// Close ends the questions that are under way and waits for them. The application may
// have made a user by then, whom it names when it is asked again.
func (c *Client) Close() {
	c.once.Do(c.setup)
	c.calls.Close()
	c.http.CloseIdleConnections()
}

func (c *Client) timeout() time.Duration {
	if c.Timeout <= 0 {
		return 5 * time.Second
	}
	return c.Timeout
}

func (c *Client) concurrency() int {
	if c.Concurrency <= 0 {
		return 16
	}
	return c.Concurrency
}

func (c *Client) patience() time.Duration {
	switch {
	case c.Patience == 0:
		return 10 * time.Second
	case c.Patience < 0:
		return 0
	}
	return c.Patience
}

func (c *Client) project() string {
	if c.Project == "" {
		return symbolon.DefaultProject
	}
	return c.Project
}

func (c *Client) observe(outcome string) {
	if c.Observe != nil {
		c.Observe(outcome)
	}
}

// Refusal is the application's no. It matches symbolon.ErrCannotCreate.
type Refusal struct{ Status int }

func (r *Refusal) Error() string { return fmt.Sprintf("it answered %d", r.Status) }

// Unwrap makes the error match symbolon.ErrCannotCreate.
func (r *Refusal) Unwrap() error { return symbolon.ErrCannotCreate }

// unknown is "don't know", and why.
func unknown(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{symbolon.ErrUnavailable}, args...)...)
}
