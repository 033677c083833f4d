package ory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/defaults"
	"github.com/symbolon-id/symbolon/internal/outbound"
)

const (
	maxAnswer = 1 << 20  // bytes of an answer
	maxPage   = 16 << 20 // bytes of a page of identities or sessions
)

// question is one request to Ory.
type question struct {
	bucket bucket
	method string // GET when empty
	admin  bool
	path   string // escaped; empty: the ID in it is not a UUID
	query  url.Values
	body   []byte
	cred   Credential // whoami only
	fresh  bool       // the cache at Ory Network's edge must not answer
	page   bool       // a page, whose answer is larger and slower
	room   int        // the likely size of the answer in bytes; 0: unknown
	slow   bool       // Ory answers after its hooks
}

// reply is a complete answer, whatever its status is.
type reply struct {
	status int
	header http.Header
	body   []byte
	q      *question
	token  string // a secret that must not be repeated, like q.cred
}

// ask sends a question and reads the whole answer. Each of its errors means "don't know".
func (c *Client) ask(ctx context.Context, q question) (*reply, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	switch {
	case q.path == "":
		return nil, errors.New("ory: the ID asked for is not a UUID")
	case q.admin && c.admin == nil:
		return nil, symbolon.ErrNoAdmin
	}
	done, err := c.waitForTurn(ctx, q.bucket)
	if err != nil {
		report(ctx, Limit{Remaining: -1, Pause: max(0, c.throttle[q.bucket].Left())})
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, c.timeout(q))
	defer cancel()
	req, err := c.request(ctx, q)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, transportError(err)
	}
	defer resp.Body.Close()
	limit := limitOf(resp.StatusCode, resp.Header)
	c.pace.learn(q.bucket, limit)
	report(ctx, limit)
	r, err := c.read(resp, q)
	if limited := c.throttle.learn(q.bucket, limit); limited != nil {
		return nil, limited
	}
	return r, err
}

func (c *Client) timeout(q question) time.Duration {
	t := defaults.Positive(c.Timeout, DefaultTimeout)
	if q.page {
		t *= 6
	}
	if q.slow {
		t *= 12
	}
	return t
}

func (c *Client) request(ctx context.Context, q question) (*http.Request, error) {
	u := *c.public
	if q.admin {
		u = *c.admin
	}
	u.RawPath = u.EscapedPath() + q.path
	path, err := url.PathUnescape(u.RawPath)
	if err != nil {
		return nil, unknown("a path that cannot be sent")
	}
	u.Path, u.RawQuery = path, q.query.Encode()
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, unknown("a question that cannot be sent")
	}
	if q.body == nil {
		req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, 0
	}
	c.headers(req.Header, q)
	return req, nil
}

// headers sets all headers that Ory gets. They contain nothing of the caller's request
// except the credential.
func (c *Client) headers(h http.Header, q question) {
	h.Set("Accept", "application/json")
	h.Set("Accept-Encoding", "identity") // so that no transport decompresses
	h.Set("User-Agent", "symbolon")
	if !c.EdgeCache || q.fresh {
		h.Set("Cache-Control", "max-age=0")
	}
	if q.body != nil {
		h.Set("Content-Type", "application/json")
	}
	if q.admin && c.Token != "" {
		h.Set("Authorization", "Bearer "+c.Token)
	}
	switch q.cred.Kind {
	case SessionToken:
		h.Set("X-Session-Token", q.cred.Value)
	case SessionCookie:
		h.Set("Cookie", c.CookieName()+"="+q.cred.Value)
	case BearerToken:
		h.Set("Authorization", "Bearer "+q.cred.Value)
	}
}

// read reads the body. It refuses a body that is too large, compressed or cut off.
func (c *Client) read(resp *http.Response, q question) (*reply, error) {
	limit := int64(maxAnswer)
	if q.page {
		limit = maxPage
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, unknown("an answer in an encoding that was not asked for")
	}
	var buf bytes.Buffer
	buf.Grow(q.room + 2*bytes.MinRead)
	if _, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1)); err != nil {
		return nil, transportError(err)
	}
	body := buf.Bytes()
	if int64(len(body)) > limit {
		return nil, unknown("an answer of more than %d bytes", limit)
	}
	return &reply{status: resp.StatusCode, header: resp.Header, body: body, q: &q, token: c.Token}, nil
}

// get asks a question and decodes the answer, which must be 200 and JSON. The text of every
// error begins with the parameter doing, such as "read identity".
func get[T any](ctx context.Context, c *Client, doing string, q question, decode func([]byte) (T, error)) (T, error) {
	r, err := c.ask(ctx, q)
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", doing, err)
	}
	return decoded(r, doing, decode)
}

func decoded[T any](r *reply, doing string, decode func([]byte) (T, error)) (answer T, err error) {
	body, err := r.json()
	if err != nil {
		return answer, fmt.Errorf("%s: %w", doing, err)
	}
	if answer, err = decode(body); err != nil {
		return answer, fmt.Errorf("%s: %w", doing, unknown("%s", err.Error()))
	}
	return answer, nil
}

// json returns the body of an answer that must be 200 and JSON.
func (r *reply) json() ([]byte, error) {
	if r.status != http.StatusOK {
		return nil, r.refusal()
	}
	if !r.isJSON() {
		return nil, unknown("an answer that is not JSON")
	}
	return r.body, nil
}

func (r *reply) isJSON() bool {
	kind, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	return err == nil && kind == "application/json" && len(r.header.Values("Content-Type")) == 1
}

// fields splits a body that is a JSON object. For any other body it returns no fields.
func (r *reply) fields() fields {
	if !r.isJSON() {
		return fields{}
	}
	f, _ := split(r.body)
	return f
}

// refusal returns the error for an answer that is not the expected one.
func (r *reply) refusal() error {
	e, code, own := r.kratosError()
	if !own {
		return e // not Kratos, but a proxy or another server
	}
	switch r.status {
	case http.StatusNotFound:
		if code == http.StatusNotFound {
			e.kind = symbolon.ErrNotFound
		}
	case http.StatusBadRequest, http.StatusConflict:
		e.kind = nil
	}
	return e
}

// kratosError returns the answer as an error that means "don't know". It reports whether
// the body is an error in Kratos' own format:
// {"error":{"code":404,"status":"…","message":"…"}}.
func (r *reply) kratosError() (e *Error, code int, own bool) {
	e = &Error{Status: r.status, kind: symbolon.ErrUnavailable}
	in, err := split(r.fields().Get("error"))
	if err != nil || json.Unmarshal(in.Get("code"), &code) != nil {
		return e, 0, false
	}
	if id, _ := in.text("id"); isToken(id) && len(id) <= 64 && !r.repeats(id) {
		e.ID = id
	}
	reason, _ := in.text("reason")
	if reason == "" {
		reason, _ = in.text("message")
	}
	if !r.repeats(reason) {
		e.Reason = oneLine(reason)
	}
	return e, code, true
}

// repeats reports whether s, a part of the answer, contains a secret of the question.
func (r *reply) repeats(s string) bool {
	for _, secret := range []string{r.q.cred.Value, r.token} {
		if secret != "" && strings.Contains(s, secret) {
			return true
		}
	}
	return false
}

// transportError says why there was no answer.
func transportError(err error) error {
	if errors.Is(err, context.Canceled) {
		return unknown("the question was cancelled")
	}
	return fmt.Errorf("ory: %s: %w: %w", outbound.WhyNoAnswer(err), ErrNoAnswer, symbolon.ErrUnavailable)
}
