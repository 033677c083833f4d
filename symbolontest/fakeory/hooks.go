package fakeory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Hooks are the webhooks of a project. Each list is called in its order. Ory calls no
// hook for requests to the admin API.
type Hooks struct {
	Registration, Login, Settings, Verification []Hook

	// WithoutSession leaves out Ory's `session` hook. A registration then creates no
	// session.
	WithoutSession bool
}

// Hook is one webhook.
type Hook struct {
	URL    string
	Method string // defaults to POST
	Header http.Header

	// Body builds the request body from Ory's context (flow, identity, request_headers
	// and so on). If it returns an error, the hook fails and is not called, as after a
	// Jsonnet error. ErrCancel skips the hook without a failure. nil sends the whole
	// context, with the session cookies.
	Body func(ctx json.RawMessage) ([]byte, error)

	// Parse calls the hook before the identity is stored, while its ID is the nil UUID.
	// The hook may refuse the registration, or change the identity by a 200 with
	// {"identity":{…}}. The body of another 2xx is ignored. A 200 with a body other than
	// a JSON object ends the registration.
	Parse bool

	// Ignore calls the hook in the background and ignores its answer.
	Ignore bool

	// WithoutIDs leaves out Ory's headers with the request and trigger ID, as
	// emit_analytics_event: false does.
	WithoutIDs bool
}

// ErrCancel is Jsonnet's `error "cancel"`. The hook is not called, and this is no
// failure.
var ErrCancel = errors.New("cancel")

// hookFailure is the reason why a hook refused a form.
type hookFailure struct {
	answer   answer
	messages []fieldMessages // from a parse hook
}

type fieldMessages struct {
	Pointer  string    `json:"instance_ptr"`
	Messages []message `json:"messages"`
}

type message struct {
	ID      int            `json:"id"`
	Text    string         `json:"text"`
	Type    string         `json:"type"`
	Context map[string]any `json:"context,omitempty"`
}

// before calls the parse hooks of a flow. Each of them may change i.
func (o *Ory) before(ctx context.Context, hooks []Hook, i *identity, hookCtx func() map[string]any) *hookFailure {
	for _, h := range hooks {
		if !h.Parse {
			continue
		}
		status, body, err := o.send(ctx, h, hookCtx())
		switch {
		case errors.Is(err, ErrCancel) || err == nil && status == 0:
		case err != nil:
			return &hookFailure{answer: hookError(err)}
		default:
			if f := o.parsed(i, status, body); f != nil {
				return f
			}
		}
	}
	return nil
}

// parsed applies the answer of a parse hook to i.
func (o *Ory) parsed(i *identity, status int, body []byte) *hookFailure {
	if status != http.StatusOK && status < 300 {
		return nil
	}
	var reply struct {
		Messages []fieldMessages `json:"messages"`
		Identity *struct {
			SchemaID   string          `json:"schema_id"`
			State      string          `json:"state"`
			ExternalID string          `json:"external_id"`
			Traits     json.RawMessage `json:"traits"`
			Public     json.RawMessage `json:"metadata_public"`
			Admin      json.RawMessage `json:"metadata_admin"`
			Verifiable []address       `json:"verifiable_addresses"`
		} `json:"identity"`
	}
	if err := o.unmarshal(body, &reply); err != nil {
		return &hookFailure{answer: hookError(fmt.Errorf("webhook response could not be unmarshalled properly from JSON: %w", err))}
	}
	if status >= 300 {
		if len(reply.Messages) == 0 {
			return &hookFailure{answer: hookError(errors.New("error while parsing webhook response: got no validation errors"))}
		}
		return &hookFailure{messages: reply.Messages}
	}
	given := reply.Identity
	if given == nil {
		return nil
	}
	if given.State != "" {
		i.State = given.State // Ory stores any text here
	}
	if given.SchemaID != "" {
		i.SchemaID = given.SchemaID
	}
	if o.config.Generation == V26 && given.ExternalID != "" {
		i.ExternalID = given.ExternalID
	}
	if !isNull(given.Public) {
		i.MetadataPublic = given.Public
	}
	if !isNull(given.Admin) {
		i.MetadataAdmin = given.Admin
	}
	if !isNull(given.Traits) {
		if err := o.setTraits(i, given.Traits); err != nil {
			return &hookFailure{messages: []fieldMessages{{Pointer: "#/traits", Messages: []message{{ID: 4000001, Text: err.Error(), Type: "error"}}}}}
		}
	}
	keepVerified(i, given.Verifiable)
	return nil
}

// unmarshal returns the error text of the generation. V1 uses a json.Decoder.
func (o *Ory) unmarshal(body []byte, into any) error {
	if o.config.Generation == V1 {
		return json.NewDecoder(bytes.NewReader(body)).Decode(into)
	}
	return json.Unmarshal(body, into)
}

func hookError(err error) answer {
	return failed(http.StatusBadRequest, errorBody{Code: http.StatusInternalServerError, Message: err.Error()})
}

// after calls the hooks that are not parse hooks, and stops at the first failure. Hooks
// with Ignore run in the background.
func (o *Ory) after(ctx context.Context, hooks []Hook, hookCtx func() map[string]any) *hookFailure {
	for _, h := range hooks {
		if h.Parse {
			continue
		}
		if h.Ignore {
			document := hookCtx()
			o.background.begin(func() { _, _, _ = o.send(o.closing, h, document) })
			continue
		}
		status, _, err := o.send(ctx, h, hookCtx())
		switch {
		case errors.Is(err, ErrCancel):
		case err != nil:
			return &hookFailure{answer: hookError(err)}
		case status >= 300:
			return &hookFailure{answer: failed(http.StatusBadGateway, errorBody{
				Reason:  "A third-party upstream service responded improperly. Please try again later.",
				Message: fmt.Sprintf("webhook failed with status code %d", status)})}
		}
	}
	return nil
}

const hookAttempts = 3

// send calls one hook, up to three times as Kratos does. Status 0 without an error means
// that a LostHooks fault lost the call.
func (o *Ory) send(ctx context.Context, h Hook, hookCtx map[string]any) (status int, body []byte, err error) {
	sent := encode(hookCtx)
	if h.Body != nil {
		if sent, err = h.Body(sent); err != nil {
			return 0, nil, err
		}
	}
	if _, _, lost := strikes(o, func(f LostHooks) bool { return strings.Contains(h.URL, f.URL) }); lost {
		return 0, nil, nil
	}
	trigger := newID()
	method := h.Method
	if method == "" {
		method = http.MethodPost
	}
	for attempt := 1; ; attempt++ {
		var wait time.Duration
		status, body, wait, err = o.attempt(ctx, h, method, trigger, sent)
		if err == nil && status != http.StatusTooManyRequests && (status < 500 || status == http.StatusNotImplemented) {
			return status, body, nil
		}
		if attempt == hookAttempts || ctx.Err() != nil {
			break
		}
		if wait == 0 {
			wait = o.config.RetryUnit << (attempt - 1)
		}
		o.sleep(nil, wait)
	}
	gaveUp := fmt.Sprintf("%s %s giving up after %d attempt(s)", method, h.URL, hookAttempts)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", gaveUp, err)
	}
	return 0, nil, errors.New(gaveUp)
}

func (o *Ory) attempt(ctx context.Context, h Hook, method, trigger string, sent []byte) (int, []byte, time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, method, h.URL, bytes.NewReader(sent))
	if err != nil {
		return 0, nil, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	for name, values := range h.Header {
		request.Header[name] = values
	}
	if !h.WithoutIDs {
		request.Header.Set("Ory-Webhook-Request-Id", newID())
		if o.config.Generation == V26 {
			request.Header.Set("Ory-Webhook-Trigger-Id", trigger)
		}
	}
	response, err := o.hookClient.Do(request)
	if err != nil {
		return 0, nil, 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 5<<20))
	var wait time.Duration
	if status := response.StatusCode; status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		after, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		wait = time.Duration(after) * o.config.RetryUnit
	}
	return response.StatusCode, body, wait, err
}
