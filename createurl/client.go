// Package createurl asks the application to create its own users, in a table that Symbolon must
// not write or cannot reach because it is in MySQL, in MongoDB or behind an ORM. The contract
// is one signed, idempotent POST. docs/create-url.md explains it to authors of applications in
// any language:
//
//	POST /internal/users
//	webhook-id: create_…               the same for every attempt
//	webhook-timestamp: 1764000000      of this attempt
//	webhook-signature: v1,…            Standard Webhooks
//
//	{"identity_id": "…", "columns": {"email": "ada@example.com"}}
//
//	200, 201   {"id": "42"}     the user, new or not
//	409        {"id": "42"}     the user, which existed
//	408, 425, 429, 5xx          not now: the next request of the person asks again
//	any other 4xx               a denial: finding cannot_create
//
// Everything else also means "not now": no answer in time, a redirect, a body without exactly
// one valid ID. Answers are limited to 64 kB and never decompressed. [Client] is a
// [symbolon.Creator]; it belongs to a Linker whose store has NewID [symbolon.ByApplication].
package createurl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/internal/flight"
	"github.com/symbolon-id/symbolon/internal/outbound"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/projection"
)

// Client sends requests to one application. Set the fields before the first call and do
// not change them afterwards. Many goroutines may then call every method at the same
// time. URL and Secrets are required.
type Client struct {
	// URL is the application's endpoint. Plain http is allowed for loopback and private
	// addresses only; see [CheckURL].
	URL string

	// Secrets sign each POST. Give two during a rotation: the POST then has two signatures,
	// and an application that knows either secret accepts it. A secret is "whsec_" and the
	// base64 of 24 to 64 bytes; [DeriveSecrets] makes them.
	Secrets []string

	// Project is the Linker's project. It is part of webhook-id. Defaults to "default".
	Project string

	// Columns is the data of the person that the POST contains. The keys are any names, the
	// values are read by [projection.Parse], except now, updated_at and transient_payload. An
	// expression without a value, or with a text that no database can store, becomes null.
	Columns map[string]string

	// Timeout limits one request, including the wait for its turn and the body of the
	// answer. Defaults to 5 seconds.
	Timeout time.Duration

	// Concurrency is how many requests may be under way at the same time. One identity has
	// at most one; concurrent callers share its answer. Defaults to 16.
	Concurrency int

	// Patience is how long a denial is remembered for the same request, so that a person
	// who tries again and again causes no load. Defaults to 10 seconds; negative: a denial
	// is not remembered.
	Patience time.Duration

	// HTTP replaces the connection pool, for a private CA or a proxy. Its cookie jar and its
	// redirect policy are ignored. Danger: the addresses that it connects to are not
	// checked.
	HTTP *http.Client

	// Observe, if set, is called with the outcome of every request.
	Observe func(outcome string)

	once        sync.Once
	bad         error // the errors in the fields
	http        *http.Client
	projections []projection.Projection
	signers     []*standardwebhooks.Webhook
	calls       flight.Group[symbolon.IdentityID, symbolon.UserID]
	turns       chan struct{} // one entry for each request under way
	denials     denials
	pause       wait.Pause // the pause that the application asked for
}

var _ symbolon.Creator = (*Client)(nil)

// Outcomes for Observe.
const (
	Created = "created" // 200, 201
	Existed = "existed" // 409
	Refused = "refused" // another 4xx
	Limited = "limited" // 429, and requests that were not sent because of a 429
	Failed  = "failed"  // everything else
)

// Check returns all errors in the fields at once. It sends no request.
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
		faults = append(faults, fmt.Errorf("createurl: there are %d secrets: give one, or two during a rotation", n))
	}
	for i, s := range c.Secrets {
		signer, err := signer(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("createurl: secret %d: %w", i+1, err))
		}
		c.signers = append(c.signers, signer)
	}
	projections, bad := projection.ParseAll(c.Columns)
	for _, p := range projections {
		if _, now := p.Literal.(projection.Now); now || p.Transient() {
			bad = append(bad, fmt.Errorf("createurl: column %s: now, updated_at and transient_payload are for a users table; the application has its own clock and its own form", p.Column))
		}
	}
	c.projections, faults = projections, append(faults, bad...)
	c.bad = errors.Join(faults...)

	c.calls.Timeout = c.timeout()
	c.turns = make(chan struct{}, c.concurrency())
	c.http = outbound.Client(c.HTTP, pool(c.concurrency(), plain))
}

// Create returns the application's user for the identity. A *[Refusal] is the application's
// denial; it matches symbolon.ErrCannotCreate. Every other error matches
// symbolon.ErrUnavailable, unless the fields are wrong. No error contains data that was
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

// Close cancels the requests that are under way and waits for them. The application may
// have created a user already; the next request returns that user.
func (c *Client) Close() {
	c.once.Do(c.setup)
	c.calls.Close()
	c.http.CloseIdleConnections()
}

func (c *Client) timeout() time.Duration { return defaults.Positive(c.Timeout, 5*time.Second) }

func (c *Client) concurrency() int { return defaults.Positive(c.Concurrency, 16) }

func (c *Client) patience() time.Duration {
	switch {
	case c.Patience == 0:
		return 10 * time.Second
	case c.Patience < 0:
		return 0
	}
	return c.Patience
}

func (c *Client) project() string { return cmp.Or(c.Project, symbolon.DefaultProject) }

func (c *Client) observe(outcome string) {
	if c.Observe != nil {
		c.Observe(outcome)
	}
}

// Refusal is the application's denial. It matches symbolon.ErrCannotCreate.
type Refusal struct{ Status int }

func (r *Refusal) Error() string { return fmt.Sprintf("it answered %d", r.Status) }

// Unwrap makes the error match symbolon.ErrCannotCreate.
func (r *Refusal) Unwrap() error { return symbolon.ErrCannotCreate }

// unknown makes an error that means "don't know".
func unknown(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{symbolon.ErrUnavailable}, args...)...)
}
