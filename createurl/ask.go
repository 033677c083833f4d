package createurl

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/outbound"
)

// question is one POST without its time and signature.
type question struct {
	identity symbolon.IdentityID
	message  string // webhook-id
	body     []byte
	digest   [32]byte // of the body
}

func (c *Client) question(id symbolon.Identity) (question, error) {
	columns := make(map[string]any, len(c.projections))
	for _, p := range c.projections {
		columns[p.Column] = p.Value(id).V
	}
	body, err := json.Marshal(struct {
		Identity symbolon.IdentityID `json:"identity_id"`
		Columns  map[string]any      `json:"columns"`
	}{id.ID, columns})
	if err != nil { // a trait is invalid JSON
		return question{}, unknown("the identity cannot be written as JSON")
	}
	return question{identity: id.ID, message: messageID(c.project(), id.ID), body: body, digest: sha256.Sum256(body)}, nil
}

// messageID is the same for every request about an identity of a project. An application
// that remembers this ID creates only one user, even if it is asked many times.
func messageID(project string, id symbolon.IdentityID) string {
	h := sha256.New()
	prefixed(h, project)
	prefixed(h, string(id))
	return "create_" + hex.EncodeToString(h.Sum(nil)[:16])
}

func prefixed(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}

// askInTurn waits for a turn, sends the request, and remembers a denial.
func (c *Client) askInTurn(ctx context.Context, q question) (symbolon.UserID, error) {
	if err := c.denials.of(q); err != nil {
		return "", err // a denial that came after Create had looked
	}
	c.denials.forget(q.identity)
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		c.observe(Failed)
		return "", unknown("too many requests are under way")
	}
	if left := c.pause.Left(); left > 0 {
		c.observe(Limited)
		return "", unknown("the application asked for a pause, which lasts %v more", left.Round(time.Second))
	}
	user, outcome, err := c.ask(ctx, q)
	c.observe(outcome)
	if outcome == Refused {
		c.denials.remember(q, err, c.patience())
	}
	return user, err
}

// ask sends the request and reads the answer.
func (c *Client) ask(ctx context.Context, q question) (symbolon.UserID, string, error) {
	req, err := c.request(ctx, q, time.Now())
	if err != nil {
		return "", Failed, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", Failed, transportError(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return c.readAnswer(resp)
}

func (c *Client) request(ctx context.Context, q question, now time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(q.body))
	if err != nil {
		return nil, unknown("a question that cannot be sent")
	}
	signatures := make([]string, len(c.signers))
	for i, s := range c.signers {
		if signatures[i], err = s.Sign(q.message, now, q.body); err != nil {
			return nil, unknown("a request that cannot be signed")
		}
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json")
	h.Set("Accept-Encoding", "identity") // keeps every transport from decompressing
	h.Set("User-Agent", "symbolon")
	h["Idempotency-Key"] = []string{} // not sent; with this key net/http repeats the POST if the application just closed an idle connection
	h.Set(standardwebhooks.HeaderWebhookID, q.message)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return req, nil
}

// Unsigned sends a POST without a signature and without an identity, as a stranger would,
// and returns the status of the answer. An application that keeps the contract answers
// 401 or another 4xx and creates no user. Tools that examine a setup use it.
func (c *Client) Unsigned(ctx context.Context) (status int, err error) {
	if err := c.Check(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, strings.NewReader("{}"))
	if err != nil {
		return 0, unknown("a question that cannot be sent")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "symbolon")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, transportError(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

// readAnswer returns the user and the outcome of an answer. Only a 4xx about the request
// itself is a denial.
func (c *Client) readAnswer(resp *http.Response) (symbolon.UserID, string, error) {
	switch s := resp.StatusCode; {
	case s == http.StatusOK, s == http.StatusCreated, s == http.StatusConflict:
		user, err := readUser(resp)
		switch {
		case err != nil:
			return "", Failed, unknown("it answered %d, and %w", s, err)
		case s == http.StatusConflict:
			return user, Existed, nil
		}
		return user, Created, nil
	case s == http.StatusTooManyRequests:
		c.pause.Extend(retryAfter(resp.Header.Get("Retry-After"), time.Now(), time.Second))
		return "", Limited, unknown("it answered %d", s)
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		return "", Failed, unknown("it answered %d", s)
	case s >= 400 && s < 500:
		return "", Refused, &Refusal{Status: s}
	case s == http.StatusServiceUnavailable:
		c.pause.Extend(retryAfter(resp.Header.Get("Retry-After"), time.Now(), 0))
	case s >= 300 && s < 400:
		return "", Failed, unknown("it answered %d: redirects are not followed", s)
	}
	return "", Failed, unknown("it answered %d", resp.StatusCode)
}

// maxAnswer is the maximum size of an answer's body in bytes.
const maxAnswer = 64 << 10

func readUser(resp *http.Response) (symbolon.UserID, error) {
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return "", errors.New("the body is in an encoding that was not asked for")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return "", errors.New("the body broke off")
	}
	if len(body) > maxAnswer {
		return "", fmt.Errorf("the body has more than %d bytes", maxAnswer)
	}
	return parseAnswer(body)
}

// transportError says why there was no answer. The text contains no data that was sent or
// received.
func transportError(err error) error {
	address, refused := errors.AsType[*addressError](err)
	switch {
	case refused:
		return unknown("%w", address)
	case errors.Is(err, context.Canceled):
		return unknown("the request was cancelled because the program ends")
	}
	return unknown("%s", outbound.WhyNoAnswer(err))
}
