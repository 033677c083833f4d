package fakeory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/symbolon-id/symbolon/symbolontest"
)

// The methods in this file have the names of the methods of [symbolontest.Kratos] and
// send the same requests. A test that uses only these methods can run against either.

// Register signs a person up as a native application does. A refusal is a
// *[symbolontest.KratosError].
func (o *Ory) Register(ctx context.Context, email, password, name string) (*symbolontest.Person, error) {
	flow, err := o.RegisterFlow(ctx)
	if err != nil {
		return nil, err
	}
	return o.Submit(ctx, flow, email, password, name)
}

// RegisterFlow creates a registration flow and returns its ID.
func (o *Ory) RegisterFlow(ctx context.Context) (flowID string, err error) {
	return o.begin(ctx, "registration", nil)
}

// Submit submits a registration flow. As in Ory, it may be called several times for one
// flow.
func (o *Ory) Submit(ctx context.Context, flowID, email, password, name string) (*symbolontest.Person, error) {
	return o.submit(ctx, "registration", flowID, email, password, map[string]any{
		"method": "password", "password": password, "traits": map[string]any{"email": email, "name": name}})
}

// Login signs a person in and creates a new session.
func (o *Ory) Login(ctx context.Context, email, password string) (*symbolontest.Person, error) {
	flow, err := o.begin(ctx, "login", nil)
	if err != nil {
		return nil, err
	}
	return o.submit(ctx, "login", flow, email, password, map[string]any{
		"method": "password", "password": password, "identifier": email})
}

// LoginBrowser signs a person in and returns the session cookie.
func (o *Ory) LoginBrowser(ctx context.Context, email, password string) (*http.Cookie, error) {
	person, err := o.Login(ctx, email, password)
	if err != nil {
		return nil, err
	}
	return &http.Cookie{Name: o.config.Cookie, Value: encodeCookie(person.Token)}, nil
}

// Logout revokes the session of a token.
func (o *Ory) Logout(ctx context.Context, token string) error {
	_, _, err := o.do(ctx, http.MethodDelete, o.PublicURL+"/self-service/logout/api", map[string]any{"session_token": token}, nil, http.StatusNoContent)
	return err
}

// Whoami returns whoami's answer for a session token, with any status.
func (o *Ory) Whoami(ctx context.Context, token string) (json.RawMessage, int, error) {
	return o.do(ctx, http.MethodGet, o.PublicURL+"/sessions/whoami", nil, http.Header{"X-Session-Token": {token}}, 0)
}

// ChangeTraits submits the settings form of the person with this session token.
func (o *Ory) ChangeTraits(ctx context.Context, token string, traits any) error {
	return o.settings(ctx, token, map[string]any{"method": "profile", "traits": traits})
}

// ChangePassword submits the settings form with a new password.
func (o *Ory) ChangePassword(ctx context.Context, token, password string) error {
	return o.settings(ctx, token, map[string]any{"method": "password", "password": password})
}

func (o *Ory) settings(ctx context.Context, token string, form any) error {
	header := http.Header{"X-Session-Token": {token}}
	flow, err := o.begin(ctx, "settings", header)
	if err != nil {
		return err
	}
	_, _, err = o.do(ctx, http.MethodPost, o.PublicURL+"/self-service/settings?flow="+flow, form, header, http.StatusOK)
	return err
}

// CreateIdentity creates an identity by the admin API.
func (o *Ory) CreateIdentity(ctx context.Context, body any) (id string, err error) {
	text, _, err := o.do(ctx, http.MethodPost, o.AdminURL+"/admin/identities", body, nil, http.StatusCreated)
	return idOf(text), err
}

// GetIdentity returns the admin API's answer for an identity, with any status.
func (o *Ory) GetIdentity(ctx context.Context, id string) (json.RawMessage, int, error) {
	return o.do(ctx, http.MethodGet, o.identityURL(id), nil, nil, 0)
}

// PatchIdentity applies JSON Patch operations.
func (o *Ory) PatchIdentity(ctx context.Context, id string, ops any) error {
	_, _, err := o.do(ctx, http.MethodPatch, o.identityURL(id), ops, nil, http.StatusOK)
	return err
}

// DeleteIdentity deletes an identity and its sessions.
func (o *Ory) DeleteIdentity(ctx context.Context, id string) error {
	_, _, err := o.do(ctx, http.MethodDelete, o.identityURL(id), nil, nil, http.StatusNoContent)
	return err
}

// CountIdentities returns the number of identities. It sends no request.
func (o *Ory) CountIdentities(context.Context) (int, error) {
	o.data.mu.Lock()
	defer o.data.mu.Unlock()
	return len(o.data.identities), nil
}

// HasIdentity reports whether the identity exists. It sends no request, so no fault can
// affect it.
func (o *Ory) HasIdentity(id string) bool {
	_, ok := o.data.get(id)
	return ok
}

// RequireSecondFactor gives an identity a second factor, so that whoami answers 403 to
// its sessions.
func (o *Ory) RequireSecondFactor(id string) {
	o.data.mu.Lock()
	defer o.data.mu.Unlock()
	if i := o.data.identities[id]; i != nil {
		i.secondFactor = true
	}
}

// Verify verifies the e-mail address of an identity, as a click on the link in a mail
// does. It calls the hooks of the verification flow.
func (o *Ory) Verify(ctx context.Context, id string) error {
	i, ok := o.data.get(id)
	if !ok {
		return errGone
	}
	for _, a := range i.Verifiable {
		keepVerified(&i, []address{{Value: a.Value, Verified: ptr(true)}})
	}
	if err := o.data.update(&i); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, o.PublicURL+"/self-service/verification", nil)
	if err != nil {
		return err
	}
	f := &flow{kind: "verification", id: newID(), form: "browser", issued: now(), requestURL: r.URL.String()}
	failure := o.after(ctx, o.config.Hooks.Verification, func() map[string]any {
		return o.hookContext(r, f, submitted{}, "passed_challenge", i)
	})
	if failure != nil {
		return &symbolontest.KratosError{Status: failure.answer.status, Body: failure.answer.body}
	}
	return nil
}

func (o *Ory) identityURL(id string) string {
	return o.AdminURL + "/admin/identities/" + url.PathEscape(id)
}

func idOf(text []byte) string {
	var v struct{ ID string }
	_ = json.Unmarshal(text, &v) // this package made the answer, so it is valid
	return v.ID
}

func (o *Ory) begin(ctx context.Context, kind string, header http.Header) (string, error) {
	text, _, err := o.do(ctx, http.MethodGet, o.PublicURL+"/self-service/"+kind+"/api", nil, header, http.StatusOK)
	return idOf(text), err
}

func (o *Ory) submit(ctx context.Context, kind, flowID, email, password string, form any) (*symbolontest.Person, error) {
	text, status, err := o.do(ctx, http.MethodPost, o.PublicURL+"/self-service/"+kind+"?flow="+url.QueryEscape(flowID), form, nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	var in struct {
		SessionToken string `json:"session_token"`
		Session      struct {
			ID       string
			Identity struct{ ID string }
		}
		Identity struct{ ID string }
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, err
	}
	p := &symbolontest.Person{IdentityID: in.Identity.ID, Email: email, Password: password, Token: in.SessionToken,
		SessionID: in.Session.ID, Status: status, Body: text}
	if p.IdentityID == "" {
		p.IdentityID = in.Session.Identity.ID
	}
	return p, nil
}

// do sends a request to the fake. Another status than want is an error. want 0 accepts
// any status.
func (o *Ory) do(ctx context.Context, verb, target string, in any, header http.Header, want int) (json.RawMessage, int, error) {
	var body io.Reader
	if in != nil {
		body = bytes.NewReader(encode(in))
	}
	request, err := http.NewRequestWithContext(ctx, verb, target, body)
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Accept", "application/json")
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := o.ownClient.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && want != 0 && response.StatusCode != want {
		err = fmt.Errorf("%s %s: %w", verb, request.URL.Path, &symbolontest.KratosError{Status: response.StatusCode, Body: text})
	}
	return text, response.StatusCode, err
}
