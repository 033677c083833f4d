package ory

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// FormError means that Ory refused the values of a form. Messages are Ory's own messages,
// one short line each. A message about a field begins with the field.
type FormError struct{ Messages []string }

func (e *FormError) Error() string { return "ory refused the form: " + strings.Join(e.Messages, "; ") }

// Register signs a person up with a password, as a native application does, and returns the
// identity of Ory's answer. It waits up to twelve times Timeout, because Ory repeats a
// blocking hook that does not answer. After an error other than a [*FormError] the identity
// may exist all the same; [Client.FindByIdentifier] finds out.
func (c *Client) Register(ctx context.Context, traits json.RawMessage, password string) (symbolon.Identity, error) {
	r, err := c.ask(ctx, question{bucket: unlimited, path: "/self-service/registration/api"})
	if err != nil {
		return symbolon.Identity{}, fmt.Errorf("begin to register: %w", err)
	}
	if r.status != http.StatusOK {
		return symbolon.Identity{}, fmt.Errorf("begin to register: %w", r.refusal())
	}
	flow, _ := r.fields().text("id")
	body, err := json.Marshal(map[string]any{"method": "password", "password": password, "traits": traits})
	if err != nil || flow == "" {
		return symbolon.Identity{}, unknown("begin to register: no flow, or traits that are not JSON")
	}
	r, err = c.ask(ctx, question{bucket: unlimited, method: http.MethodPost, path: "/self-service/registration",
		query: url.Values{"flow": {flow}}, body: body, slow: true})
	if err != nil {
		return symbolon.Identity{}, fmt.Errorf("register: %w", err)
	}
	return registered(r)
}

func registered(r *reply) (symbolon.Identity, error) {
	if messages := formMessages(r); r.status == http.StatusBadRequest && len(messages) > 0 {
		return symbolon.Identity{}, &FormError{messages}
	}
	if r.status != http.StatusOK {
		return symbolon.Identity{}, fmt.Errorf("register: %w", r.refusal())
	}
	i, err := DecodeIdentity(r.fields().Get("identity"))
	if err != nil {
		return symbolon.Identity{}, unknown("register: %s", err.Error())
	}
	return i, nil
}

// formMessages reads the messages of a flow and of its fields.
func formMessages(r *reply) (out []string) {
	type message struct{ Text, Type string }
	var flow struct {
		UI struct {
			Messages []message
			Nodes    []struct {
				Attributes struct{ Name string }
				Messages   []message
			}
		}
	}
	if !r.isJSON() || json.Unmarshal(r.body, &flow) != nil {
		return nil
	}
	for _, m := range flow.UI.Messages {
		out = append(out, oneLine(m.Text))
	}
	for _, n := range flow.UI.Nodes {
		for _, m := range n.Messages {
			out = append(out, oneLine(n.Attributes.Name+": "+m.Text))
		}
	}
	return out
}

// FindByIdentifier returns the identity that signs in with an identifier, such as an e-mail
// address or a name. There is at most one.
func (c *Client) FindByIdentifier(ctx context.Context, identifier string) ([]symbolon.Identity, error) {
	q := question{bucket: adminMedium, admin: true, page: true, path: "/admin/identities", query: url.Values{"credentials_identifier": {identifier}}}
	return get(ctx, c, "find an identity", q, identities)
}
